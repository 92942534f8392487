"""What in PyTorch would read a tensor's memory by its address, which on sky is on the server.

Storages are copied whole, where PyTorch would go byte by byte or not at all. What can only work on memory that is here
is refused with advice.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch.storage import TypedStorage, UntypedStorage
from torch.utils import dlpack

if TYPE_CHECKING:
    from collections.abc import Callable

    Storage = TypedStorage | UntypedStorage

__all__ = ["keep_off"]


def _is_sky(thing: Storage | torch.Tensor) -> bool:
    return thing.device.type == "sky"


def _here(storage: Any) -> Any:
    return storage.cpu()


def _replace(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, wraps(original)(make(original)))


def _reading(original: Callable[..., Any]) -> Callable[..., Any]:
    """A storage's method that only reads, on a copy."""
    return lambda self, *args: original(_here(self) if _is_sky(self) else self, *args)


def _writing(original: Callable[..., Any]) -> Callable[..., Any]:
    """A storage's method that writes in place, on a copy that is copied back."""

    def call(self: UntypedStorage, *args: Any) -> Any:
        if not _is_sky(self):
            return original(self, *args)
        here = _here(self)
        result = original(here, *args)
        self.copy_(here, False)
        return self if result is here else result

    return call


def _printing(original: Callable[..., str]) -> Callable[..., str]:
    def call(self: Storage) -> str:
        if not _is_sky(self):
            return original(self)
        text = original(_here(self))
        # The description comes last, after the numbers.
        return f"{self.device}".join(text.rsplit("cpu", 1))

    return call


def _no_dlpack(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if _is_sky(tensor):
            raise BufferError(
                f"can't export a {tensor.device} tensor by DLPack: its memory is on the server. "
                "Use Tensor.cpu() to copy the tensor to host memory first."
            )
        return original(tensor, *args, **kwargs)

    return call


def _no_sharing(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: UntypedStorage, *args: Any, **kwargs: Any) -> Any:
        if _is_sky(self):
            raise RuntimeError(
                f"can't send a {self.device} tensor to another process: its session belongs to this one. "
                "Send what Tensor.cpu() copies."
            )
        return original(self, *args, **kwargs)

    return call


def keep_off() -> None:
    """Wraps the functions of PyTorch that would follow a sky storage's address."""
    for storage in (UntypedStorage, TypedStorage):
        _replace(storage, "__iter__", _reading)
        _replace(storage, "__str__" if storage is TypedStorage else "__repr__", _printing)
    _replace(UntypedStorage, "_write_file", _reading)
    _replace(UntypedStorage, "_set_from_file", _writing)
    _replace(UntypedStorage, "_byteswap", _writing)
    _replace(UntypedStorage, "_share_fd_cpu_", _no_sharing)
    _replace(UntypedStorage, "_share_filename_cpu_", _no_sharing)
    _replace(torch.Tensor, "__dlpack__", _no_dlpack)
    for module in (torch, dlpack):
        _replace(module, "to_dlpack", _no_dlpack)
