"""What a server's port costs, beside the same stream without it: a round trip, and bulk data.

The direct stream goes to the socket of the session's own process and shares no memory with it, as no stream does that
comes from elsewhere.
"""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch

import jupyter_skytorch as sky
from jupyter_skytorch.compute import opening
from jupyter_skytorch.session import Way

from .figure import Figure, Spread, Target, in_turn, paired
from .server import server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_skytorch.compute import Compute

    from .rig import Rig

READS = 200
LATENCY_ROUNDS = 11
SIZE = 256 << 20
BULK_ROUNDS = 7
YARDSTICK = "direct"


def measure(rig: Rig) -> list[Figure]:
    """`.item()` and 256 MiB through the port of a server on this machine, and directly."""
    kind = rig.local.type
    with ExitStack() as stack:
        relayed = stack.enter_context(sky.connect(f"grpc://{stack.enter_context(server('--no-direct'))}"))
        direct = stack.enter_context(_unshared(stack.enter_context(server())))
        near, far = direct.device(kind), relayed.device(kind)
        reads = in_turn(LATENCY_ROUNDS, lambda: _item(far), lambda: _item(near))
        payload = torch.arange(SIZE // 4, dtype=torch.int32)
        resident = {device: payload.to(device) for device in (near, far)}
        ups = in_turn(BULK_ROUNDS, lambda: _up(payload, far), lambda: _up(payload, near))
        downs = in_turn(BULK_ROUNDS, lambda: _down(resident[far], payload), lambda: _down(resident[near], payload))
    extra = [through - direct for through, direct in reads]
    return [
        paired(".item() through the port", "µs", reads, None, YARDSTICK),
        Figure("... beyond the direct way", "µs", Spread.of(extra), target=Target(150, of_ratio=False)),
        paired("256 MiB up through the port", "MB/s", ups, Target(0.7, at_least=True), YARDSTICK),
        paired("256 MiB down through the port", "MB/s", downs, Target(0.7, at_least=True), YARDSTICK),
    ]


class _Unshared(Way):
    """To a local socket, as a tunnel leads to it."""

    plain = True


@contextmanager
def _unshared(place: str) -> Iterator[Compute]:
    found = opening.ways

    def unshared(*asked: Any, **how: Any) -> list[Way]:
        return [_Unshared(way.target) for way in found(*asked, **how) if way.local]

    with mock.patch.object(opening, "ways", unshared):
        compute = sky.connect(f"grpc://{place}")
    with compute:
        yield compute


def _item(device: torch.device) -> float:
    """Microseconds of one read of a scalar that is there, the median of some."""
    x = torch.ones((), device=device)
    torch.sky.synchronize(device)
    durations = []
    for _ in range(READS):
        started = time.perf_counter()
        x.item()
        durations.append((time.perf_counter() - started) * 1e6)
    return statistics.median(durations)


def _up(payload: torch.Tensor, device: torch.device) -> float:
    payload.add_(1)  # else it need not be sent again
    torch.sky.synchronize(device)
    started = time.perf_counter()
    copy = payload.to(device)
    torch.sky.synchronize(device)
    rate = SIZE / (time.perf_counter() - started) / 1e6
    del copy
    return rate


def _down(resident: torch.Tensor, payload: torch.Tensor) -> float:
    resident.copy_(payload)
    torch.sky.synchronize()
    started = time.perf_counter()
    copy = resident.cpu()
    rate = SIZE / (time.perf_counter() - started) / 1e6
    if not torch.equal(copy, payload):
        raise RuntimeError("256 MiB came back changed")
    return rate
