"""Files: what is saved on a sky device can be loaded on another day, where its index means nothing any more."""

from __future__ import annotations

import sys
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["open_safetensors", "save_without_index"]

#: Before PyTorch's own (23), which names the index: the lower number is asked first.
_PRIORITY = 18


def save_without_index() -> None:
    """Has ``torch.save`` write "sky" as a storage's device, which ``torch.load`` takes for the current one."""

    def tag(storage: Any) -> str | None:
        return "sky" if storage.device.type == "sky" else None

    torch.serialization.register_package(_PRIORITY, tag, lambda _storage, _location: None)


def open_safetensors() -> None:
    """Has safetensors, where it is installed, take "sky" for a device: it knows others by index alone."""
    if find_spec("safetensors") is None:
        return
    safetensors: Any = import_module("safetensors")
    opens: Callable[..., Any] = safetensors.safe_open

    @wraps(opens)
    def safe_open(filename: Any, framework: str, device: str | int | torch.device = "cpu", **options: Any) -> Any:
        named = torch.device(device)
        if named.type == "sky":
            index: int | None = named.index
            device = torch.accelerator.current_device_index() if index is None else index
        return opens(filename, framework, device, **options)

    safetensors.safe_open = safe_open
    if "safetensors.torch" in sys.modules:
        vars(sys.modules["safetensors.torch"])["safe_open"] = safe_open
