"""What it costs to know the line of each op: by the marks of a ``%%sky`` cell, and when it is profiled."""

from __future__ import annotations

import ast
import time
from typing import TYPE_CHECKING

import torch

from jupyter_skytorch import device
from jupyter_skytorch.magics.lines import MARK, mark_lines
from skytorch_wire import service_pb2

from .figure import Figure, Target, in_turn, paired

if TYPE_CHECKING:
    from types import CodeType

    from .rig import Rig

OPS = 240
"""So few that a sink that nobody reads takes them at once: the server's part is not to be measured."""
TIMES = 20
ROUNDS = 61
BODIES = {
    "one line": ["x = x + 1"],
    "four lines": ["x = x + 1", "x = x * 2", "x = x - 1", "x = x / 2"],
}


class _Bench:
    """A sink of its own, which is emptied between two measurements."""

    def __init__(self) -> None:
        self._sink = device.new_sink("bench")
        self._sink.start(0, 1 << 20)
        self._device = torch.device("sky", self._sink.open_device("cpu", 0))

    def issue(self, code: CodeType, mark: object) -> float:
        """The shortest time of some runs, in nanoseconds an op."""
        return min(self._once(code, mark) for _ in range(TIMES)) / OPS * 1e9

    def _once(self, code: CodeType, mark: object) -> float:
        namespace = {"x": torch.zeros(4, device=self._device), MARK: mark}
        started = time.perf_counter()
        exec(code, namespace)  # noqa: S102 (what is measured is how a cell's code runs)
        duration = time.perf_counter() - started
        while self._sink.take(0.0) is not None:
            pass
        executed = service_pb2.StreamResponse(executed=self._sink.counters()["issued"])
        self._sink.feed(executed.SerializeToString())
        return duration

    def close(self) -> None:
        """Ends the sink, and with it its device."""
        self._sink.stop("closed", "the benchmark is over")


def _code(lines: list[str], *, marked: bool) -> CodeType:
    text = f"for _ in range({OPS // len(lines)}):\n" + "".join(f"    {line}\n" for line in lines)
    module = ast.parse(text)
    return compile(mark_lines(module) if marked else module, "cell", "exec")


def measure(_rig: Rig) -> list[Figure]:
    """Issuing ops of a loop's body, with marks and without; and timed by the lens, for comparison."""
    bench, figures = _Bench(), []
    try:
        for name, lines in BODIES.items():
            bare, marked = _code(lines, marked=False), _code(lines, marked=True)
            pairs = in_turn(
                ROUNDS, lambda code=marked: bench.issue(code, device.marks), lambda code=bare: bench.issue(code, None)
            )
            figures.append(
                paired(f"ops whose line is known, {name}", "ns/op", pairs, Target(1.03), "the same without marks")
            )
        device.core.lens_begin(0, lambda _file: 0)
        lens = device.core.lens_mark()
        pairs = in_turn(ROUNDS // 3, lambda: bench.issue(marked, lens), lambda: bench.issue(bare, None))
        figures.append(paired("ops of a profiled cell, four lines", "ns/op", pairs, None, "the same without marks"))
    finally:
        device.core.lens_end()
        bench.close()
    return figures
