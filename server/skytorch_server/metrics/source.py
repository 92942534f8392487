"""What a source of metrics is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from skytorch_wire import metrics_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skytorch_wire import sessions_pb2

GAUGE = metrics_pb2.METRIC_TYPE_GAUGE
COUNTER = metrics_pb2.METRIC_TYPE_COUNTER


@dataclass(frozen=True)
class Sample:
    """One value. `unit` is as in UCUM ("B", "%", "W", "1"); `principal` is who may see it, None for everybody."""

    name: str
    value: float
    unit: str
    help: str
    type: metrics_pb2.MetricType = GAUGE
    labels: dict[str, str] = field(default_factory=dict)
    principal: str | None = None


@dataclass(frozen=True)
class LiveSession:
    """An active session and what its process says of itself; no stats when it doesn't answer."""

    session_id: str
    name: str
    principal: str
    pid: int
    stats: sessions_pb2.SessionStats | None


class Census(Protocol):
    """Knows the active sessions of the server."""

    def owners(self) -> dict[int, tuple[str, str]]:
        """The (session id, principal) of each session's process id."""

    async def count(self) -> Sequence[LiveSession]:
        """Asks every active session."""


class Source(Protocol):
    """Something that can be measured. Made once a server; one that isn't there raises :class:`SourceMissing`."""

    async def sample(self) -> list[Sample]:
        """What it reads now. Never blocks the event loop."""

    def close(self) -> None:
        """Gives back what it holds."""


class SourceMissing(Exception):  # noqa: N818 - a machine without a GPU is nothing wrong
    """There is nothing to measure on this machine; the message says why."""
