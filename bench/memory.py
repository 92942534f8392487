"""Whether a long run of small ops leaves anything behind."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import psutil
import torch

from .figure import Figure, alone

if TYPE_CHECKING:
    from .rig import Rig

OPS = 500_000
WARM_UP = 50_000


def _run(rig: Rig, operations: int) -> None:
    x = torch.zeros(4, device=rig.device)
    for _ in range(operations):
        x = x + 1
    rig.wait(rig.device)
    gc.collect()


def _resident(processes: list[psutil.Process]) -> float:
    """Their resident memory together, in MiB."""
    return sum(process.memory_info().rss for process in processes) / 2**20


def measure(rig: Rig) -> list[Figure]:
    """How much resident memory grows over 500,000 ops, here and in the server's processes together."""
    client, server = [psutil.Process()], rig.server_processes()
    _run(rig, WARM_UP)
    before = _resident(client), _resident(server)
    _run(rig, OPS)
    after = _resident(client), _resident(server)
    return [
        alone("memory kept after 500,000 ops, client", "MiB", [after[0] - before[0]], at_most=8),
        alone(
            f"memory kept after 500,000 ops, server ({len(server)} processes)", "MiB", [after[1] - before[1]], at_most=8
        ),
    ]
