"""Many small ops, as a person writes them: in a cell of a notebook, under ``%%sky``."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import torch
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from .figure import Figure, in_turn
from .ops import MICROSECONDS, OPS, ROUNDS, figures

if TYPE_CHECKING:
    from .rig import Rig

CODE = f"""
import time
x = torch.zeros(4)
wait()
started = time.perf_counter()
for _ in range({OPS}):
    x = x + 1
issued = time.perf_counter() - started
wait()
done = time.perf_counter() - started
"""


def _run(shell: InteractiveShell, rig: Rig, magic: str, device: torch.device) -> tuple[float, float]:
    """Microseconds an op until the loop has run, and until the result is there."""
    shell.user_ns.update(torch=torch, wait=lambda: rig.wait(device))
    with redirect_stdout(io.StringIO()):
        shell.run_cell(magic + CODE).raise_error()
    if shell.user_ns["x"].device.type != device.type:
        raise RuntimeError(f"the cell ran on {shell.user_ns['x'].device}")
    return shell.user_ns["issued"] * MICROSECONDS, shell.user_ns["done"] * MICROSECONDS


def measure(rig: Rig) -> list[Figure]:
    """`x = x + 1` on 4 elements, 5,000 times in a cell: under ``%%sky``, and as it stands on the CPU."""
    # Without a history, whose file would outlive the folder that it lies in.
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    shell.run_line_magic("load_ext", "jupyter_skytorch")
    cell = in_turn(
        ROUNDS,
        lambda: _run(shell, rig, "%%sky\n", rig.device),
        lambda: _run(shell, rig, "", torch.device("cpu")),
    )
    return figures("x = x + 1 in a %%sky cell", cell)
