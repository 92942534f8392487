"""A tensor from one Compute to another, between their servers and through this process."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch

import jupyter_skytorch as sky
from jupyter_skytorch.session import take_detours

from .figure import Figure, in_turn, paired
from .server import server

if TYPE_CHECKING:
    from jupyter_skytorch.compute import Compute

    from .rig import Rig

SIZE = 256 << 20
ROUNDS = 7
SMALL_ROUNDS = 201
YARDSTICK = "through the client"


def measure(rig: Rig) -> list[Figure]:
    """256 MiB and one number, by the servers' sockets, as on one machine, and by their ports, as from another."""
    return [*_compared("sockets", rig.local.type), *_compared("ports", rig.local.type, "--no-direct")]


def _compared(name: str, kind: str, *flags: str) -> list[Figure]:
    with ExitStack() as stack:
        addresses = [stack.enter_context(server("--copy-to", "127.0.0.1", *flags)) for _ in range(2)]
        one, other = (stack.enter_context(sky.connect(f"grpc://{address}")) for address in addresses)
        copies = _Copies(one, other, kind)
        large = in_turn(ROUNDS, lambda: copies.rate(between=True), lambda: copies.rate(between=False))
        small = in_turn(SMALL_ROUNDS, lambda: copies.wait(between=True), lambda: copies.wait(between=False))
    return [
        paired(f"256 MiB to another Compute, {name}", "MB/s", large, None, YARDSTICK),
        paired(f"4 bytes to another Compute, {name}", "µs", small, None, YARDSTICK),
    ]


class _Copies:
    """From one Compute to another; `between`: by their servers, else through this process."""

    def __init__(self, one: Compute, other: Compute, kind: str) -> None:
        self._session = one.session()
        self._device = other.device(kind)
        self._large = torch.arange(SIZE // 4, dtype=torch.int32, device=one.device(kind))
        self._small = torch.ones(1, device=one.device(kind))
        self._session.synchronize()

    def rate(self, *, between: bool) -> float:
        """MB/s of one large tensor."""
        self._large.add_(1)  # else it need not be sent again
        self._session.synchronize()
        return SIZE / self._copy(self._large, between=between) / 1e6

    def wait(self, *, between: bool) -> float:
        """Microseconds of one small tensor."""
        return self._copy(self._small, between=between) * 1e6

    def _copy(self, tensor: torch.Tensor, *, between: bool) -> float:
        take_detours()
        self._session.copies = between
        started = time.perf_counter()
        copy = tensor.to(self._device)
        torch.sky.synchronize(self._device)
        duration = time.perf_counter() - started
        if bool(take_detours()) is between:
            raise RuntimeError("the tensor went another way than was meant")
        del copy
        return duration
