"""The part of ``torch.sky`` about random numbers: each device's default generator."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch

from .errors import SkyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Device = torch.device | str | int | None

__all__ = ["functions"]


def functions(core: Any, index_of: Callable[[Device], int]) -> list[Callable[..., Any]]:  # noqa: C901  (one a name)
    """The functions, over the native `core`; `index_of` tells the index that a device's name stands for."""

    def manual_seed(seed: int) -> None:
        """Seeds the current device's generator."""
        core.seed(-1, seed % 2**64)

    def manual_seed_all(seed: int) -> None:
        """Seeds the generator of every device whose session lives."""
        for index in range(core.device_count()):
            with suppress(SkyError):
                core.seed(index, seed % 2**64)

    def seed() -> None:
        """Seeds the current device's generator with a number from chance."""
        manual_seed(torch.Generator().seed())

    def seed_all() -> None:
        """Seeds the generators of all devices with one number from chance."""
        manual_seed_all(torch.Generator().seed())

    def initial_seed() -> int:
        """The number that the current device's generator was seeded with last."""
        number: int = core.initial_seed(-1)
        return number

    def get_rng_state(device: Device = "sky") -> torch.Tensor:
        """The state of a device's generator: uint8, on the CPU. Costs a round trip."""
        return torch.frombuffer(bytearray(core.get_state(index_of(device))), dtype=torch.uint8)

    def set_rng_state(new_state: torch.Tensor, device: Device = "sky") -> None:
        """Gives a device's generator a state that :func:`get_rng_state` gave. Raises TypeError for another tensor."""
        if new_state.dtype != torch.uint8 or new_state.device.type != "cpu":
            raise TypeError("RNG state must be a torch.ByteTensor on the CPU")
        core.set_state(index_of(device), new_state.numpy().tobytes())

    def get_rng_state_all() -> list[torch.Tensor]:
        """The states of all devices' generators; an empty one for a device whose session is over."""
        states = [torch.empty(0, dtype=torch.uint8)] * core.device_count()
        for index in range(len(states)):
            with suppress(SkyError):
                states[index] = get_rng_state(index)
        return states

    def set_rng_state_all(new_states: Iterable[torch.Tensor]) -> None:
        """Gives all devices' generators the states that :func:`get_rng_state_all` gave."""
        for index, state in enumerate(new_states):
            if state.numel():
                set_rng_state(state, index)

    return [
        manual_seed, manual_seed_all, seed, seed_all, initial_seed, get_rng_state, set_rng_state, get_rng_state_all,
        set_rng_state_all,
    ]  # fmt: skip
