"""Where the time of one small op goes: in the thread that issues it, and in the server's executor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from .figure import Figure, Spread, in_turn, paired

if TYPE_CHECKING:
    from collections.abc import Callable

    from .rig import Rig

OPS = 5000
ROUNDS = 21
MICROSECONDS = 1e6 / OPS

CHAINS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "x + 1": lambda x: x + 1,
    "x + x": lambda x: x + x,
    "x.exp()": lambda x: x.exp(),
    "x.view(4)": lambda x: x.view(4),
    "x.sum(0, keepdim)": lambda x: x.sum(0, keepdim=True),
}


def measure(rig: Rig) -> list[Figure]:
    """For each op on 4 elements: processor time of the thread that issues it, and the executor's own busy time."""
    figures = []
    for name, op in CHAINS.items():
        executing: list[float] = []

        def issue(device: torch.device, op: Callable[[torch.Tensor], torch.Tensor] = op) -> float:
            x = torch.zeros(4, device=device)
            rig.wait(device)
            started = time.thread_time()
            for _ in range(OPS):
                op(x)
            return (time.thread_time() - started) * MICROSECONDS

        def on_sky(executing: list[float] = executing) -> float:
            before = rig.compute.session().counters()
            issued = issue(rig.device)
            rig.wait(rig.device)
            after = rig.compute.session().counters()
            if after.ops - before.ops >= OPS:  # views send nothing
                executing.append((after.remote_seconds - before.remote_seconds) / (after.ops - before.ops) * 1e6)
            return issued

        pairs = in_turn(ROUNDS, on_sky, lambda: issue(rig.local))
        figures.append(paired(f"{name}, issuing", "µs/op", pairs))
        if executing:
            figures.append(Figure(f"{name}, executing", "µs/op", Spread.of(executing[1:])))
    return figures
