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
ROUNDS = 41
BODIES = {
    "one line": ["x = x + 1"],
    "four lines": ["x = x + 1", "x = x * 2", "x = x - 1", "x = x / 2"],
}


class _Bench:
    """A sink of its own, which is emptied between two measurements."""

    def __init__(self) -> None:
        self._sink = device.new_sink("bench")
        self._stream = self._sink.attached(0, 0, 1 << 20)
        self._device = torch.device("sky", self._sink.open_device("cpu", 0))

    def pairs(self, rounds: int, lines: list[str], mark: object) -> list[tuple[float, float]]:
        """Nanoseconds an op with marks and without: of each round the shortest of some runs, which take turns."""
        marked, bare = _code(lines, marked=True), _code(lines, marked=False)
        pairs = []
        for _ in range(rounds):
            runs = in_turn(TIMES, lambda: self._once(marked, mark), lambda: self._once(bare, None))
            with_marks, without = (min(side) / OPS * 1e9 for side in zip(*runs, strict=True))
            pairs.append((with_marks, without))
        return pairs

    def _once(self, code: CodeType, mark: object) -> float:
        namespace = {"x": torch.zeros(4, device=self._device), MARK: mark}
        started = time.perf_counter()
        exec(code, namespace)  # noqa: S102 (what is measured is how a cell's code runs)
        duration = time.perf_counter() - started
        while self._sink.take(0.0, self._stream) is not None:
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
            pairs = bench.pairs(ROUNDS, lines, device.marks)
            figures.append(
                paired(f"ops whose line is known, {name}", "ns/op", pairs, Target(1.03), "the same without marks")
            )
        device.core.lens_begin(0, lambda _file: 0)
        pairs = bench.pairs(ROUNDS, BODIES["four lines"], device.core.lens_mark())
        figures.append(paired("ops of a profiled cell, four lines", "ns/op", pairs, None, "the same without marks"))
    finally:
        device.core.lens_end()
        bench.close()
    return figures
