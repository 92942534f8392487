"""``torch.sky``: what PyTorch and its users ask of a device's module."""

from __future__ import annotations

from contextlib import ContextDecorator
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import torch

from . import memory, random
from .loading import load_into

if TYPE_CHECKING:
    from types import TracebackType

    Device = torch.device | str | int | None

__all__ = ["build"]


def _index(device: Device) -> int:
    """The index that `device` names; -1 for the current one. Raises ValueError for a device of another type."""
    if device is None:
        return -1
    if isinstance(device, int):
        return device
    named = torch.device(device)
    if named.type != "sky":
        raise ValueError(f"Expected a sky device, but got: {named}")
    index: int | None = named.index
    return -1 if index is None else index


def build(core: Any) -> ModuleType:  # noqa: C901  (a native module; one function a name)
    """The module, as functions over the native `core`."""
    sky = ModuleType("torch.sky", "The sky devices of this process; see jupyter_skytorch.")

    def is_available() -> bool:
        """Whether a session that lives has given this process a sky device."""
        return device_count() > 0

    def is_initialized() -> bool:
        """As :func:`is_available`: a device is ready as soon as it exists."""
        return is_available()

    def device_count() -> int:
        """How many sky devices there are, while one of them lives: an index is never used again."""
        count: int = core.device_count()
        return count

    def current_device() -> int:
        """The index that "sky" alone stands for."""
        index: int = core.get_device()
        return index

    def set_device(device: Device) -> None:
        """Makes a device the current one of this thread."""
        core.set_device(_index(device))

    class device(ContextDecorator):  # noqa: N801  (as torch.cuda.device)
        """Makes a device the current one inside a ``with``."""

        def __init__(self, device: Device) -> None:
            self._inside = _index(device)

        def __enter__(self) -> Self:
            self._outside = current_device()
            if self._inside >= 0:
                core.set_device(self._inside)
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            if self._inside >= 0:
                core.set_device(self._outside)

    def synchronize(device: Device = None) -> None:
        """Waits until everything issued to a device is done, and raises what went wrong there."""
        core.synchronize(_index(device))

    class _utils:  # noqa: N801  (what torch.load asks of a device's module)
        @staticmethod
        def _get_device_index(device: Device, optional: bool = False) -> int:  # noqa: ARG004
            index = _index(device)
            return current_device() if index < 0 else index

    def get_amp_supported_dtype() -> list[torch.dtype]:
        """The dtypes that autocast may use."""
        return [torch.bfloat16, torch.float16]

    def _is_in_bad_fork() -> bool:
        forked: bool = core.in_forked_child()
        return forked

    def _lazy_init() -> None:
        """Nothing waits to be initialised."""

    things: list[Any] = [
        is_available, is_initialized, device_count, current_device, set_device, device, synchronize,
        get_amp_supported_dtype, _is_in_bad_fork, _lazy_init, _utils, load_into, *random.functions(core, _index),
    ]  # fmt: skip
    for thing in things:
        setattr(sky, thing.__name__, thing)
    for name in memory.__all__:
        setattr(sky, name, getattr(memory, name))
    sky._initialized = True  # type: ignore[attr-defined]  # read by checkpoints, which else keep no generator state
    return sky
