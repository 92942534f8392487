"""``torch.sky``: what PyTorch and its users ask of a device's module."""

from __future__ import annotations

from contextlib import ContextDecorator, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import torch

from . import memory
from .errors import SessionClosed, SessionLost

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

    def manual_seed(seed: int) -> None:
        """Seeds the current device's generator."""
        core.seed(-1, seed % 2**64)

    def manual_seed_all(seed: int) -> None:
        """Seeds the generator of every device whose session lives."""
        for index in range(device_count()):
            with suppress(SessionClosed, SessionLost):
                core.seed(index, seed % 2**64)

    def get_rng_state(device: Device = None) -> torch.Tensor:
        """The state of a device's generator: uint8, on the CPU. Costs a round trip."""
        return torch.frombuffer(bytearray(core.get_state(_index(device))), dtype=torch.uint8)

    def set_rng_state(state: torch.Tensor, device: Device = None) -> None:
        """Gives a device's generator a state that :func:`get_rng_state` gave."""
        core.set_state(_index(device), state.cpu().numpy().tobytes())

    def get_amp_supported_dtype() -> list[torch.dtype]:
        """The dtypes that autocast may use."""
        return [torch.bfloat16, torch.float16]

    def _is_in_bad_fork() -> bool:
        forked: bool = core.in_forked_child()
        return forked

    def _lazy_init() -> None:
        """Nothing waits to be initialised."""

    for thing in (
        is_available, is_initialized, device_count, current_device, set_device, device, synchronize, manual_seed,
        manual_seed_all, get_rng_state, set_rng_state, get_amp_supported_dtype, _is_in_bad_fork, _lazy_init,
    ):  # fmt: skip
        setattr(sky, thing.__name__, thing)
    for name in memory.__all__:
        setattr(sky, name, getattr(memory, name))
    return sky
