"""``%%sky --compile``: modules whose parameters are on sky are called through torch.compile while the cell runs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["compiled_modules"]

# Where nn.Module looks for what `module.compile()` has made; a module of its own has it in itself, and keeps it.
_PLACE = "_compiled_call_impl"


@contextmanager
def compiled_modules() -> Iterator[None]:
    """Compile what this thread calls: a module itself, not those that it calls in turn, which are part of it."""
    outside = vars(nn.Module)[_PLACE]
    setattr(nn.Module, _PLACE, _Compiled())
    try:
        yield
    finally:
        setattr(nn.Module, _PLACE, outside)


class _Compiled:
    """Stands in for the compiled form of every module."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._inside = False
        self._calls: dict[nn.Module, Callable[..., Any]] = {}

    def __get__(self, module: nn.Module | None, _owner: type[nn.Module]) -> Callable[..., Any] | None:
        if (
            torch.compiler.is_compiling()
            or module is None
            or self._inside
            or threading.get_ident() != self._thread
            or not _is_on_sky(module)
        ):
            return None

        def call(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if module not in self._calls:
                self._calls[module] = torch.compile(module, backend="sky")
            self._inside = True
            try:
                return self._calls[module](*args, **kwargs)
            finally:
                self._inside = False

        return call


def _is_on_sky(module: nn.Module) -> bool:
    parameter = next(module.parameters(), None)
    return parameter is not None and parameter.device.type == "sky"
