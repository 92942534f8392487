"""What a profiled cell cost: by line, by op, and one thing after the other. Times in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from skytorch_wire.profile import Times

    from .advice import Advice

__all__ = ["LineCost", "OpCost", "Profile", "SourceLine", "Span"]


@dataclass(frozen=True)
class SourceLine:
    """A line of the notebook's code, and what can be told of it by reading."""

    text: str = ""
    in_loop: bool = False
    """It is run again by a loop around it."""
    prints: bool = False
    """It prints, or makes text of its values."""
    decides: bool = False
    """It is the head of an `if` or a `while`."""


@dataclass(frozen=True)
class LineCost:
    """One line. `line` 0 stands for the end of the cell, where what was issued is waited for."""

    cell: int
    line: int
    source: SourceLine = SourceLine()
    ops: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    uploads: int = 0
    """Tensors that were written from here; `upload_bytes` together."""
    upload_bytes: int = 0
    sync_points: int = 0
    asks: int = 0
    """Of the sync points: where only the server could tell the shape of a result; `asked` is the last such op."""
    asked: str = ""
    wait_seconds: float = 0.0
    """Waited for the server: at sync points, and `held_seconds` until it had caught up with what was issued."""
    held_seconds: float = 0.0
    visits: int = 0
    """How often it was reached; 0 for lines inside functions, and where the cell wasn't profiled."""
    wall_seconds: float = 0.0
    """What passed here while it ran, waiting included; 0 where the cell wasn't profiled."""
    remote_seconds: float = 0.0
    """That the server worked for it; 0 where the cell wasn't profiled."""

    @property
    def sync_seconds(self) -> float:
        """Waited at sync points."""
        return max(self.wait_seconds - self.held_seconds, 0.0)

    @property
    def issue_seconds(self) -> float:
        """What passed here without waiting: Python, and writing down what is to be done."""
        return max(self.wall_seconds - self.wait_seconds, 0.0)


@dataclass(frozen=True)
class OpCost:
    """All calls of an op, or of what else the server does for a session ("upload", "read")."""

    name: str
    count: int
    remote_seconds: float
    """On the device: by the clock around it on a CPU, by events in the stream on CUDA."""
    host_seconds: float
    """That the server's thread took; on CUDA the op runs on after that."""


@dataclass(frozen=True)
class Span:
    """Something that took time. `began` is the local steady clock's."""

    name: str
    began: float
    seconds: float
    cell: int
    line: int


@dataclass(frozen=True)
class Profile:
    """What a `%%sky --profile` cell cost. Times in seconds, sizes in bytes."""

    where: str
    cell: int
    wall_seconds: float
    remote_seconds: float
    """That the session's executor was busy; `wall_seconds` minus this is the time that the server had nothing to do."""
    lines: tuple[LineCost, ...]
    """By cell and line."""
    ops: tuple[OpCost, ...]
    """The most remote time first."""
    advice: tuple[Advice, ...]
    """The largest share of the cell's time first."""
    began: float
    """By the local steady clock, as the spans."""
    spans: Mapping[str, tuple[Span, ...]] = field(repr=False)
    """"lines" and "waits" of the notebook; "server", its thread, and "device", a CUDA device's stream."""
    dropped: int
    """So many spans more there were."""
    clock_uncertainty: float
    """By how much the server's spans may be off against the notebook's."""

    @property
    def wait_seconds(self) -> float:
        """Waited for the server, the end of the cell included."""
        return sum(line.wait_seconds for line in self.lines)


#: What a server's thread does there is to wait for the device, where that runs by itself.
_WAITS = frozenset({"read", "synchronize"})


def remote_by_line(times: Times) -> dict[tuple[int, int], float]:
    """The seconds that the server worked, by cell and line."""
    own = any(each.device for each in times.sums)
    found: dict[tuple[int, int], float] = {}
    for each in times.sums:
        place = each.cell, each.line
        found[place] = found.get(place, 0.0) + _remote(each.name, each.host, each.device, own=own)
    return found


def op_costs(times: Times) -> tuple[OpCost, ...]:
    """The sums by op, the most remote time first."""
    own = any(each.device for each in times.sums)
    found: dict[str, OpCost] = {}
    for each in times.sums:
        name = each.name.removeprefix("aten::")
        before = found.get(name, OpCost(name, 0, 0.0, 0.0))
        found[name] = OpCost(
            name,
            before.count + each.count,
            before.remote_seconds + _remote(each.name, each.host, each.device, own=own),
            before.host_seconds + each.host / 1e9,
        )
    return tuple(sorted(found.values(), key=lambda op: -op.remote_seconds))


def _remote(name: str, host: int, device: int, *, own: bool) -> float:
    if device:
        return device / 1e9
    return 0.0 if own and name in _WAITS else host / 1e9


def server_spans(times: Times, offset: float) -> tuple[list[Span], list[Span]]:
    """What the server's thread and its devices did; `offset` is how far its clock is ahead of the local one."""
    thread, device = [], []
    for event in times.events:
        of = times.sums[event.sum]
        name = of.name.removeprefix("aten::")
        thread.append(Span(name, event.began / 1e9 - offset, event.host / 1e9, of.cell, of.line))
        if event.device:
            device.append(Span(name, event.device_began / 1e9 - offset, event.device / 1e9, of.cell, of.line))
    return thread, device


def local_spans(spans: Iterable[tuple[int, int, int, int]], name: str) -> list[Span]:
    """The spans of this end, from the core's (cell, line, began, ended) in nanoseconds."""
    return [Span(name, began / 1e9, (ended - began) / 1e9, cell, line) for cell, line, began, ended in spans]
