"""The recent course of a Compute's metrics, as text and as HTML."""

from __future__ import annotations

from collections import deque
from html import escape
from typing import TYPE_CHECKING

from skytorch_wire import metrics_pb2

from .markup import block, dot, table
from .quantities import count, quantity, size
from .sparkline import sparkline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyter_skytorch.compute import Status

__all__ = ["Course"]

_KEPT = 120
_PERCENT = 100.0
# Which metrics are of which; they tell series apart that share a name.
_TELLING_LABELS = ("gpu", "index", "device", "name")


class Course:
    """The last two minutes of each metric."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._histories: dict[str, deque[float]] = {}
        self._units: dict[str, str] = {}
        self._status: Status | None = None

    def add(self, status: Status, metrics: Iterable[metrics_pb2.Metric]) -> None:
        """Add what was asked at one moment. Counters are left out: what they say of the session, the headline says."""
        self._status = status
        for metric in metrics:
            # Of what is counted by session, this one's: the others have monitors of their own.
            mine = metric.labels.get("session", status.session_id) == status.session_id
            if mine and metric.type == metrics_pb2.METRIC_TYPE_GAUGE:
                key = _key(metric)
                self._units[key] = metric.unit
                self._histories.setdefault(key, deque(maxlen=_KEPT)).append(metric.value)

    def text(self) -> str:
        """Return the newest values, a line each."""
        width = max((len(key) for key in self._histories), default=0)
        lines = [f"{key.ljust(width)}  {quantity(values[-1], self._units[key])}" for key, values in self._items()]
        return "\n".join([self._headline(), *lines])

    def html(self) -> str:
        """Return the newest values with their courses."""
        rows = [
            (
                escape(key),
                f'<span style="font-variant-numeric: tabular-nums">{escape(quantity(values[-1], unit))}</span>',
                sparkline(list(values), f"{key} over time", top=_PERCENT if unit == "%" else None),
            )
            for key, values in self._items()
            for unit in (self._units[key],)
        ]
        state = self._status.state if self._status else "closed"
        head = f"{dot(state)} {escape(self._headline())}"
        return block(head + table((), rows, escaped=True))

    def _items(self) -> list[tuple[str, deque[float]]]:
        return sorted(self._histories.items())

    def _headline(self) -> str:
        status = self._status
        if status is None:
            return f"{self._name}: no answer yet"
        if status.state != "connected":
            return f"{self._name}: {status.state}{': ' if status.reason else ''}{status.reason}"
        stats = status.stats
        return (
            f"{self._name}: {status.state} · {count(stats.operations, 'op')} · "
            f"{count(stats.storages, 'storage')}, {size(stats.storage_bytes)} · "
            f"↑ {size(stats.bytes_received)} ↓ {size(stats.bytes_sent)}"
        )


def _key(metric: metrics_pb2.Metric) -> str:
    labels = [metric.labels[label] for label in _TELLING_LABELS if label in metric.labels]
    return f"{metric.name} {' '.join(labels)}".strip()
