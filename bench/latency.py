"""How long a program waits for one value."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import torch

from .figure import Figure, Spread, Target, in_turn

if TYPE_CHECKING:
    from .rig import Rig

READS = 200
ROUNDS = 11


def _item(rig: Rig, device: torch.device, *, after_an_op: bool) -> list[float]:
    """Microseconds of each of some reads of a scalar on `device`."""
    x = torch.ones((), device=device)
    rig.wait(device)
    durations = []
    for _ in range(READS):
        started = time.perf_counter()
        if after_an_op:
            (x + 1).item()
        else:
            x.item()
        durations.append((time.perf_counter() - started) * 1e6)
    return durations


def _figure(rig: Rig, name: str, target: Target, *, after_an_op: bool) -> Figure:
    pairs = in_turn(
        ROUNDS,
        lambda: _item(rig, rig.device, after_an_op=after_an_op),
        lambda: _item(rig, rig.local, after_an_op=after_an_op),
    )
    # The target is a duration, so it bounds the reads themselves; local torch is there for the eye.
    remote = [duration for sky, _ in pairs for duration in sky]
    local = [duration for _, beside in pairs for duration in beside]
    ratios = [statistics.median(sky) / statistics.median(beside) for sky, beside in pairs]
    return Figure(name, "µs", sky=Spread.of(remote), beside=Spread.of(local), ratio=Spread.of(ratios), target=target)


def measure(rig: Rig) -> list[Figure]:
    """`.item()` of a scalar that is there, and of one that is computed first."""
    return [
        _figure(rig, ".item()", Target(200, of_ratio=False), after_an_op=False),
        _figure(rig, "op, then .item()", Target(230, of_ratio=False), after_an_op=True),
    ]
