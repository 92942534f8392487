"""Takes a profile: on both ends, and puts the two together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jupyter_skytorch.device import core
from jupyter_skytorch.session.lines import LineCounters
from skytorch_wire.profile import Times, read_times
from skytorch_wire.records import Reader, Writer

from .advice import advise
from .profile import LineCost, Profile, local_spans, op_costs, remote_by_line, server_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_skytorch.session import Session

    from .profile import SourceLine

__all__ = ["Profiler", "line_costs"]

_SPANS = 100_000
"""Of each kind are kept. The sums are of all."""
_PINGS = 3
_NS = 1e-9

Places = tuple[int, int]


class Visited(NamedTuple):
    """How long the program was at a line, how often it came there, and how much of the time it waited."""

    seconds: float
    visits: int
    waited: float


class Profiler:
    """Profiles what this thread does on a session, from :meth:`begin` to :meth:`end`."""

    def __init__(self, session: Session, cell_of: Callable[[str], int]) -> None:
        """`cell_of` says the number of the cell that a file of Python's is, 0 for none."""
        self._session = session
        self._cell_of = cell_of
        self._offsets: list[tuple[float, float]] = []
        self._began = 0
        self._lines: list[tuple[int, int, int, int, int]] = []
        self._spans: list[tuple[int, int, int, int]] = []
        self._waits: list[tuple[int, int, int, int]] = []
        self._dropped = 0
        self._times = Times((), (), 0)

    def begin(self) -> None:
        """Waits for what was issued before, and begins. Raises SkyError when the session is over."""
        self._offsets = [self._offset()]
        self._session.append(Writer().profile(_SPANS).take())
        self._began = core.steady_nanoseconds()
        core.lens_begin(_SPANS, self._cell_of)

    def end(self) -> None:
        """Ends, on this side at once. Raises SkyError when the server can't be asked any more."""
        self._lines, self._spans, self._waits, self._dropped = core.lens_end()
        if self._session.state != "live":
            return
        self._times = read_times(self._session.ask(Writer().profiled().take()))
        self._session.append(Writer().profile(0).take())
        self._offsets.append(self._offset())

    def _offset(self) -> tuple[float, float]:
        """How far the server's clock is ahead, and how far that may be wrong: half of the shortest round trip."""
        found = []
        for _ in range(_PINGS):
            before = core.steady_nanoseconds()
            answer = Reader(self._session.ask(Writer().clock().take()))
            after = core.steady_nanoseconds()
            answer.varint()
            found.append(((after - before) / 2 * _NS, (answer.value() - (before + after) / 2) * _NS))
        trip, offset = min(found)
        return offset, trip

    def profile(
        self,
        *,
        where: str,
        cell: int,
        wall_seconds: float,
        remote_seconds: float,
        counters: Mapping[Places, LineCounters],
        source: Callable[[int, int], SourceLine],
    ) -> Profile:
        """Puts the profile together; after :meth:`end`. `source` says what stands on a line of a cell."""
        offset = sum(offset for offset, _ in self._offsets) / len(self._offsets)
        drift = max(abs(found - offset) for found, _ in self._offsets)
        thread, device = server_spans(self._times, offset)
        visited = {
            (at, line): Visited(time * _NS, visits, waited * _NS) for at, line, time, visits, waited in self._lines
        }
        lines = line_costs(counters, source, visited, remote_by_line(self._times))
        return Profile(
            where=where,
            cell=cell,
            wall_seconds=wall_seconds,
            remote_seconds=remote_seconds,
            lines=lines,
            ops=op_costs(self._times),
            advice=advise(lines, wall_seconds),
            began=self._began * _NS,
            spans={
                "lines": tuple(local_spans(self._spans, "line")),
                "waits": tuple(local_spans(self._waits, "wait")),
                "server": tuple(thread),
                "device": tuple(device),
            },
            dropped=self._dropped + self._times.dropped,
            clock_uncertainty=drift + max(trip for _, trip in self._offsets),
        )


def line_costs(
    counters: Mapping[Places, LineCounters],
    source: Callable[[int, int], SourceLine],
    visited: Mapping[Places, Visited] | None = None,
    remote: Mapping[Places, float] | None = None,
) -> tuple[LineCost, ...]:
    """By cell and line; what is on no line comes last."""
    visited, remote = visited or {}, remote or {}
    none = LineCounters()
    costs = []
    for at in sorted({*counters, *visited, *remote}, key=lambda at: (at[1] == 0, at)):
        cell, line = at
        had = counters.get(at, none)
        spent = visited.get(at, Visited(0.0, 0, had.wait_seconds + had.held_seconds))
        costs.append(
            LineCost(
                cell=cell,
                line=line,
                source=source(cell, line),
                ops=had.ops,
                bytes_up=had.bytes_up,
                bytes_down=had.bytes_down,
                uploads=had.uploads,
                upload_bytes=had.upload_bytes,
                sync_points=had.sync_points,
                asks=had.asks,
                asked=had.asked,
                wait_seconds=spent.waited,
                held_seconds=had.held_seconds,
                visits=spent.visits,
                wall_seconds=spent.seconds,
                remote_seconds=remote.get(at, 0.0),
            )
        )
    return tuple(costs)
