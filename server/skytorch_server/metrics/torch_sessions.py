"""What the sessions hold and have done: for the whole server, and for each session to its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .source import COUNTER, GAUGE, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skytorch_wire import metrics_pb2, sessions_pb2

    from .source import Census

# Name, type, unit, help, and how the value is read from a session's stats.
_NUMBERS: list[tuple[str, metrics_pb2.MetricType, str, str, Callable[[sessions_pb2.SessionStats], float]]] = [
    ("torch.operations", COUNTER, "1", "Ops executed", lambda stats: stats.operations),
    ("torch.bytes.received", COUNTER, "B", "Received from clients", lambda stats: stats.bytes_received),
    ("torch.bytes.sent", COUNTER, "B", "Sent to clients", lambda stats: stats.bytes_sent),
    ("torch.busy", COUNTER, "s", "Time spent executing", lambda stats: stats.busy_nanoseconds / 1e9),
    ("torch.storages", GAUGE, "1", "Tensor storages alive", lambda stats: stats.storages),
    ("torch.storage.bytes", GAUGE, "B", "Memory of the tensor storages alive", lambda stats: stats.storage_bytes),
    ("torch.queued.bytes", GAUGE, "B", "Received and not executed yet", lambda stats: stats.queued_bytes),
    ("torch.resident.bytes", GAUGE, "B", "Host memory of the sessions' processes", lambda stats: stats.resident_bytes),
]


class TorchSessionsSource:
    """Counters of the whole server never fall: what ended sessions have done stays in them."""

    def __init__(self, census: Census) -> None:
        self._census = census
        self._latest: dict[str, sessions_pb2.SessionStats] = {}
        self._of_ended = dict.fromkeys((name for name, *_ in _NUMBERS), 0.0)

    async def sample(self) -> list[Sample]:
        sessions = await self._census.count()
        alive = {session.session_id for session in sessions}
        self._latest.update({session.session_id: session.stats for session in sessions if session.stats is not None})
        for session_id in self._latest.keys() - alive:
            ended = self._latest.pop(session_id)
            for name, type_, _, _, read in _NUMBERS:
                if type_ == COUNTER:
                    self._of_ended[name] += read(ended)
        samples = [Sample("torch.sessions", len(sessions), "1", "Active sessions")]
        samples += self._totals()
        for session in sessions:
            labels = {"session": session.session_id, "session_name": session.name}
            samples += [
                Sample(name, read(self._latest[session.session_id]), unit, help_, type_, labels, session.principal)
                for name, type_, unit, help_, read in _NUMBERS
                if session.session_id in self._latest
            ]
        return samples

    def close(self) -> None:
        """Nothing is held."""

    def _totals(self) -> Iterator[Sample]:
        for name, type_, unit, help_, read in _NUMBERS:
            total = self._of_ended[name] + sum(read(stats) for stats in self._latest.values())
            yield Sample(name, total, unit, help_, type_)
