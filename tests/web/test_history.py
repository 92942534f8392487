"""What browsers get of a server's metrics."""

from __future__ import annotations

import json

from jupyter_skytorch.web.history import History, to_series
from skytorch_wire.metrics_pb2 import METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM, MetricsSnapshot


def snapshot(second: int, value: float) -> MetricsSnapshot:
    found = MetricsSnapshot()
    found.time.FromSeconds(second)
    found.metrics.add(name="gpu.power", type=METRIC_TYPE_GAUGE, value=value, unit="W", labels={"gpu": "0"})
    found.metrics.add(name="gpu.power", type=METRIC_TYPE_GAUGE, value=2 * value, unit="W", labels={"gpu": "1"})
    return found


def test_series_are_told_apart_by_their_labels_and_keep_their_points_in_order() -> None:
    history = History(seconds=60)
    for second in (1, 2, 3):
        history.add(to_series(snapshot(second, 100.0 + second)))

    first, second = history.series()

    assert first["labels"] == {"gpu": "0"}
    assert first["points"] == [[1000, 101.0], [2000, 102.0], [3000, 103.0]]
    assert second["points"] == [[1000, 202.0], [2000, 204.0], [3000, 206.0]]


def test_what_is_too_old_is_forgotten() -> None:
    history = History(seconds=-1)
    history.add(to_series(snapshot(1, 1.0)))
    assert history.series() == []


def test_what_json_cannot_carry_is_left_out() -> None:
    found = MetricsSnapshot()
    found.metrics.add(name="a", type=METRIC_TYPE_GAUGE, value=float("nan"))
    found.metrics.add(name="b", type=METRIC_TYPE_COUNTER, value=float("inf"))
    found.metrics.add(name="c", type=METRIC_TYPE_HISTOGRAM)
    found.metrics.add(name="d", type=METRIC_TYPE_COUNTER, value=1.0)

    series = to_series(found)

    assert [one["name"] for one in series] == ["d"]
    json.dumps(series, allow_nan=False)
