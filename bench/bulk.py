"""Large data up to the server and down from it: on the same machine, over TCP, and as a thousand small tensors."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch

import jupyter_skytorch as sky

from .figure import Figure, Spread, Target, in_turn, paired
from .raw_stream import raw_stream
from .server import server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_skytorch.compute import Compute

    from .rig import Rig

SIZE = 256 << 20
ROUNDS = 7
SMALL, SMALL_BYTES = 1000, 4096
CLONE, FRESH = "clone() into warm pages", "clone()"
RAW = "raw gRPC stream, TCP"


def measure(rig: Rig) -> list[Figure]:
    """The bandwidth of one tensor of 256 MiB in both directions, and that of many small ones up."""
    here = _Transfers(rig.device)
    figures = []
    # What clone() costs depends on whether its result is made of fresh pages, which the kernel has to clear first.
    for name, beside, target in ((CLONE, here.copy, Target(0.5, at_least=True)), (FRESH, here.clone, None)):
        figures += [
            paired("256 MiB up, same machine", "MB/s", in_turn(ROUNDS, here.up, beside), target, name),
            paired("256 MiB down, same machine", "MB/s", in_turn(ROUNDS, here.down, beside), target, name),
        ]
    small = Spread.of([here.small() for _ in range(ROUNDS + 1)][1:])
    target = Target(300.0, at_least=True, of_ratio=False)
    figures.append(Figure("1,000 tensors of 4 KiB up, same machine", "MB/s", small, target=target))
    with far() as compute, raw_stream() as raw:
        there = _Transfers(compute.device(rig.local.type))
        target = Target(0.9, at_least=True)
        for way, move, send in (("up", there.up, raw.up), ("down", there.down, raw.down)):
            pairs = in_turn(ROUNDS, move, partial(_raw, send))
            figures.append(paired(f"256 MiB {way}, TCP", "MB/s", pairs, target, RAW))
    return figures


@contextmanager
def far() -> Iterator[Compute]:
    """A session over TCP, which doesn't believe that the server is on this machine."""
    with server("--no-direct") as address, sky.connect(f"grpc://{address}") as compute:
        yield compute


class _Transfers:
    """Each method moves data once and answers with its MB/s."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._payload = torch.arange(SIZE // 4, dtype=torch.int32)
        self._warm = self._payload.clone()
        self._resident = self._payload.to(device)
        self._small = [torch.full((SMALL_BYTES // 4,), float(i)) for i in range(SMALL)]

    def up(self) -> float:
        self._payload.add_(1)  # else it need not be sent again
        torch.sky.synchronize()
        started = time.perf_counter()
        copy = self._payload.to(self._device)
        torch.sky.synchronize()
        duration = time.perf_counter() - started
        del copy
        return _rate(duration)

    def down(self) -> float:
        self._resident.copy_(self._payload)
        torch.sky.synchronize()
        started = time.perf_counter()
        copy = self._resident.cpu()
        duration = time.perf_counter() - started
        if not torch.equal(copy, self._payload):
            raise RuntimeError("256 MiB came back changed")
        return _rate(duration)

    def small(self) -> float:
        torch.sky.synchronize()
        started = time.perf_counter()
        there = [tensor.to(self._device) for tensor in self._small]
        torch.sky.synchronize()
        duration = time.perf_counter() - started
        if there[-1][0].item() != SMALL - 1:
            raise RuntimeError("a small tensor arrived changed")
        return SMALL * SMALL_BYTES / duration / 1e6

    def copy(self) -> float:
        started = time.perf_counter()
        self._warm.copy_(self._payload)
        return _rate(time.perf_counter() - started)

    def clone(self) -> float:
        started = time.perf_counter()
        copy = self._payload.clone()
        duration = time.perf_counter() - started
        del copy
        return _rate(duration)


def _raw(send: Callable[[int], float]) -> float:
    return _rate(send(SIZE))


def _rate(seconds: float) -> float:
    return SIZE / seconds / 1e6
