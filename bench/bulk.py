"""256 MiB up to the server and down from it, beside a plain gRPC stream of raw bytes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from .figure import Figure, Target, in_turn, paired
from .raw_stream import raw_stream

if TYPE_CHECKING:
    from .rig import Rig

SIZE = 256 << 20
ROUNDS = 7
YARDSTICK = "raw gRPC stream"


def measure(rig: Rig) -> list[Figure]:
    """The bandwidth of one tensor of 256 MiB in both directions."""
    payload = torch.arange(SIZE // 4, dtype=torch.int32)
    resident = payload.to(rig.device)

    def up() -> float:
        rig.wait(rig.device)
        started = time.perf_counter()
        copy = payload.to(rig.device)
        rig.wait(rig.device)
        duration = time.perf_counter() - started
        del copy
        return _rate(duration)

    def down() -> float:
        rig.wait(rig.device)
        started = time.perf_counter()
        copy = resident.cpu()
        duration = time.perf_counter() - started
        if not torch.equal(copy, payload):
            raise RuntimeError("256 MiB came back changed")
        return _rate(duration)

    with raw_stream() as raw:
        ups = in_turn(ROUNDS, up, lambda: _rate(raw.up(SIZE)))
        downs = in_turn(ROUNDS, down, lambda: _rate(raw.down(SIZE)))
    target = Target(0.5, at_least=True)
    return [
        paired("256 MiB up", "MB/s", ups, target, YARDSTICK),
        paired("256 MiB down", "MB/s", downs, target, YARDSTICK),
    ]


def _rate(seconds: float) -> float:
    return SIZE / seconds / 1e6
