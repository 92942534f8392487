"""Many small ops: what issuing one costs, and what it costs until all are done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from .figure import Figure, Target, in_turn, paired

if TYPE_CHECKING:
    from .rig import Rig

OPS = 5000
ROUNDS = 21
MICROSECONDS = 1e6 / OPS


def _chain(rig: Rig, device: torch.device) -> tuple[float, float]:
    """Microseconds an op of `x = x + 1` on 4 elements: until the loop has run, and until the result is there."""
    x = torch.zeros(4, device=device)
    rig.wait(device)
    started = time.perf_counter()
    for _ in range(OPS):
        x = x + 1
    issued = time.perf_counter() - started
    rig.wait(device)
    done = time.perf_counter() - started
    return issued * MICROSECONDS, done * MICROSECONDS


def figures(name: str, pairs: list[tuple[tuple[float, float], tuple[float, float]]]) -> list[Figure]:
    """Two figures from pairs of (issued, done), in microseconds an op."""
    issuing = [(remote[0], local[0]) for remote, local in pairs]
    done = [(remote[1], local[1]) for remote, local in pairs]
    return [
        paired(f"{name}, issuing", "µs/op", issuing, Target(0.8)),
        paired(f"{name}, until done", "µs/op", done, Target(1.3)),
    ]


def measure(rig: Rig) -> list[Figure]:
    """`x = x + 1` on 4 elements, 5,000 times."""
    return figures("x = x + 1", in_turn(ROUNDS, lambda: _chain(rig, rig.device), lambda: _chain(rig, rig.local)))
