"""Tensors that are about to be read one by one are read together: each would cost a round trip of its own."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["read_together"]


def read_together(core: Any) -> None:
    """Wraps what reads many tensors: ``torch.save``, and modules that move to the CPU."""
    module: Any = torch.nn.Module
    save, move, to_cpu = torch.save, module.to, module.cpu

    @contextmanager
    def ahead(candidates: Iterable[Any]) -> Iterator[None]:
        tensors = [
            one
            for one in candidates
            if type(one) in (torch.Tensor, torch.nn.Parameter)
            and one.device.type == "sky"
            and one.layout is torch.strided
        ]
        if len(tensors) < 2:  # noqa: PLR2004
            yield
            return
        core.read_ahead([tensor._cdata for tensor in tensors])
        try:
            yield
        finally:
            core.end_read_ahead()

    @wraps(save)
    def together_save(obj: object, *args: Any, **kwargs: Any) -> None:
        with ahead(tree_leaves(obj)):
            save(obj, *args, **kwargs)

    @wraps(move)
    def together_to(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        target: torch.device | None = torch._C._nn._parse_to(*args, **kwargs)[0]
        with ahead(_tensors(self) if target is not None and target.type == "cpu" else ()):
            return move(self, *args, **kwargs)

    @wraps(to_cpu)
    def together_cpu(self: torch.nn.Module) -> Any:
        with ahead(_tensors(self)):
            return to_cpu(self)

    torch.save = together_save
    module.to = together_to
    module.cpu = together_cpu


def _tensors(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    for parameter in module.parameters():
        yield parameter
        if parameter.grad is not None:
            yield parameter.grad
    yield from module.buffers()
