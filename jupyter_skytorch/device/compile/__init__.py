"""``torch.compile(..., backend="sky")``: whole graphs are sent once, and run by one record each."""

from __future__ import annotations

from functools import cache, wraps
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["register"]


def register(core: Any) -> None:
    """Makes the backend known, at the first torch.compile: TorchDynamo, which it needs, takes a second to import."""
    compile_: Callable[..., Any] = torch.compile

    @cache
    def make_known() -> None:
        from torch._dynamo.backends.registry import register_backend

        from .backend import compile_module

        def sky(module: torch.fx.GraphModule, inputs: Sequence[Any], **options: Any) -> Any:
            return compile_module(core, module, inputs, **options)

        register_backend(compiler_fn=sky, name="sky")

    @wraps(compile_)
    def compile(*args: Any, **kwargs: Any) -> Any:  # noqa: A001  (torch's name)
        make_known()
        return compile_(*args, **kwargs)

    torch.compile = compile
