"""The server's metrics as Prometheus reads them: an HTTP page on a port of its own.

It holds sums over all sessions, and the machine's; nothing that names a principal, a session or its process.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from skytorch_wire import metrics_pb2, sessions_pb2

from .listening import ListenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from skytorch_server.metrics.sampler import Sampler

    from .session import Session
    from .sessions import Sessions

_MAX_AGE_SECONDS = 1.0
_SAMPLE_SECONDS = 5.0
_KINDS = {metrics_pb2.METRIC_TYPE_GAUGE: "gauge", metrics_pb2.METRIC_TYPE_COUNTER: "counter"}
# Prometheus' names have their unit at the end.
_UNITS = {"B": "bytes", "s": "seconds", "%": "percent", "W": "watts", "°C": "celsius", "Hz": "hertz"}
_STATES = {
    sessions_pb2.SESSION_STATE_CLOSED: "closed",
    sessions_pb2.SESSION_STATE_EXPIRED: "expired",
    sessions_pb2.SESSION_STATE_CRASHED: "crashed",
}


class Counts:
    """What the front itself counts, by what it is called; each is read when it is asked for."""

    def __init__(self, sessions: Sessions, **read: Callable[[], int]) -> None:
        """`read` are counters by the end of their names."""
        self._begun = 0
        self._ended = Counter(dict.fromkeys(_STATES.values(), 0))
        self._read = read
        sessions.watchers.listen(self._note)

    def _note(self, kind: sessions_pb2.SessionEvent.Kind, session: Session) -> None:
        if kind == sessions_pb2.SessionEvent.CREATED:
            self._begun += 1
        elif kind == sessions_pb2.SessionEvent.ENDED:
            self._ended[_STATES[session.state]] += 1

    def metrics(self) -> Iterator[Metric]:
        """All of them."""
        begun = Metric("skytorch_sessions_begun", "Sessions that began", "counter")
        begun.add_sample("skytorch_sessions_begun_total", {}, self._begun)
        yield begun
        ended = Metric("skytorch_sessions_ended", "Sessions that ended, by how", "counter")
        for state, number in self._ended.items():
            ended.add_sample("skytorch_sessions_ended_total", {"state": state}, number)
        yield ended
        for name, read in self._read.items():
            metric = Metric(f"skytorch_{name}", name.replace("_", " ").capitalize(), "counter")
            metric.add_sample(f"skytorch_{name}_total", {}, read())
            yield metric


class PrometheusPage(Collector):
    """Serves the page from its beginning until :meth:`close`, on threads of its own."""

    def __init__(self, host: str, port: int, sampler: Sampler, counts: Counts) -> None:
        """Listens on `port` of `host`.

        Raises:
            ListenError: the port is taken, or the host isn't this machine's.
        """
        self._loop = asyncio.get_running_loop()
        self._sampler = sampler
        self._counts = counts
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, host.strip("[]"), registry)
        except OSError as error:
            taken = "is the port taken?" if error.errno == errno.EADDRINUSE else error.strerror
            raise ListenError(f"can't serve metrics on {host}:{port}: {taken}") from error
        self.address = f"http://{host}:{self._server.server_port}/metrics"

    def describe(self) -> Iterable[Metric]:
        """What there is depends on the machine."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """What the page holds now. Called on a thread of the page's."""
        # Nobody's: what is for one principal only is left out.
        asked = asyncio.run_coroutine_threadsafe(self._sampler.snapshot((), "", _MAX_AGE_SECONDS), self._loop)
        snapshot = asked.result(_SAMPLE_SECONDS)
        families: dict[str, Metric] = {}
        for metric in snapshot.metrics:
            kind = _KINDS.get(metric.type)
            if kind is None:
                continue
            name = _name(metric)
            if name not in families:
                families[name] = Metric(name, metric.help, kind)
            families[name].add_sample(f"{name}_total" if kind == "counter" else name, dict(metric.labels), metric.value)
        yield from families.values()
        yield from self._counts.metrics()

    def close(self) -> None:
        """Takes no more requests."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_SAMPLE_SECONDS)


def _name(metric: metrics_pb2.Metric) -> str:
    words = re.findall(r"[a-z0-9]+", metric.name.lower())
    unit = _UNITS.get(metric.unit, "")
    return "_".join(["skytorch", *(word for word in words if word != unit), *([unit] if unit else [])])
