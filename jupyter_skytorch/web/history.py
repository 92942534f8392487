"""Metric values over time, in the form that browsers get."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from skytorch_wire import metrics_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

Series = dict[str, Any]


def to_series(snapshot: metrics_pb2.MetricsSnapshot) -> list[Series]:
    """One series of one point for each gauge and counter of a snapshot.

    A point is [time in milliseconds by the server's clock, value]. Histograms and values that JSON cannot carry
    (infinite, not a number) are left out.
    """
    when = snapshot.time.ToMilliseconds()
    return [
        {
            "name": metric.name,
            "source": metric.source,
            "kind": "counter" if metric.type == metrics_pb2.METRIC_TYPE_COUNTER else "gauge",
            "unit": metric.unit,
            "labels": dict(metric.labels),
            "help": metric.help,
            "points": [[when, metric.value]],
        }
        for metric in snapshot.metrics
        if metric.type != metrics_pb2.METRIC_TYPE_HISTOGRAM and math.isfinite(metric.value)
    ]


class History:
    """The last `seconds` of one server's series."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._samples: deque[tuple[float, list[Series]]] = deque()

    def add(self, sample: list[Series]) -> None:
        """Adds what `to_series` made of a snapshot, and forgets what is too old."""
        self._samples.append((time.monotonic(), sample))
        self._forget()

    def series(self) -> list[Series]:
        """All that is kept, merged: each series once, with all its points in order."""
        self._forget()
        return _merge(series for _, sample in self._samples for series in sample)

    def _forget(self) -> None:
        oldest = time.monotonic() - self._seconds
        while self._samples and self._samples[0][0] < oldest:
            self._samples.popleft()


def _merge(all_series: Iterable[Series]) -> list[Series]:
    merged: dict[tuple[Any, ...], Series] = {}
    for series in all_series:
        key = (series["name"], *sorted(series["labels"].items()))
        if key in merged:
            merged[key]["points"] += series["points"]
        else:
            merged[key] = {**series, "points": list(series["points"])}
    return list(merged.values())
