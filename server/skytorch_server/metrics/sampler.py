"""Samples the sources, once for all who ask within the same interval."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skytorch_wire import metrics_pb2

from .registry import SOURCES
from .source import SourceMissing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .source import Census, Sample, Source

_log = logging.getLogger(__name__)

# A source that takes longer is left out of the answer; the next one that asks waits for the same reading.
_SAMPLE_SECONDS = 3.0


@dataclass
class _Reading:
    """A source and what it last told."""

    source: Source
    samples: list[Sample] = field(default_factory=list)
    taken: float = float("-inf")
    taken_at: float = 0.0
    running: asyncio.Task[None] | None = None


class Sampler:
    """The sources that a server was started with and that this machine has."""

    def __init__(self, names: Iterable[str], census: Census) -> None:
        """`names` are keys of :data:`.registry.SOURCES`."""
        self._readings: dict[str, _Reading] = {}
        self._asked_for = list(names)
        for name in self._asked_for:
            try:
                self._readings[name] = _Reading(SOURCES[name](census))
            except SourceMissing as missing:
                _log.info("metrics source %s: %s", name, missing)

    @property
    def names(self) -> list[str]:
        """The names of the sources that the server was started with, those that this machine lacks included."""
        return self._asked_for

    async def snapshot(self, names: Iterable[str], principal: str, max_age: float) -> metrics_pb2.MetricsSnapshot:
        """What `principal` may see of the sources `names`, at most `max_age` seconds old; all sources for no names."""
        readings = {name: self._readings[name] for name in (list(names) or self._asked_for) if name in self._readings}
        await asyncio.gather(*(self._refresh(name, reading, max_age) for name, reading in readings.items()))
        snapshot = metrics_pb2.MetricsSnapshot()
        snapshot.time.GetCurrentTime()
        for name, reading in readings.items():
            for sample in reading.samples:
                if sample.principal in {None, principal}:
                    snapshot.metrics.append(_message(sample, name, reading.taken_at))
        return snapshot

    def close(self) -> None:
        for reading in self._readings.values():
            if reading.running is not None:
                reading.running.cancel()
            reading.source.close()

    async def _refresh(self, name: str, reading: _Reading, max_age: float) -> None:
        if time.monotonic() - reading.taken <= max_age:
            return
        if reading.running is None:
            reading.running = asyncio.create_task(self._read(name, reading))
        await asyncio.wait([reading.running], timeout=_SAMPLE_SECONDS)

    async def _read(self, name: str, reading: _Reading) -> None:
        try:
            reading.samples = await reading.source.sample()
        except Exception:  # noqa: BLE001
            # A driver's failure must not end anybody's stream of metrics.
            _log.exception("metrics source %s", name)
            reading.samples = []
        finally:
            reading.running = None
        reading.taken = time.monotonic()
        reading.taken_at = time.time()


def _message(sample: Sample, source: str, taken_at: float) -> metrics_pb2.Metric:
    metric = metrics_pb2.Metric(
        name=sample.name,
        type=sample.type,
        value=sample.value,
        unit=sample.unit,
        labels=sample.labels,
        help=sample.help,
        source=source,
    )
    metric.timestamp.FromNanoseconds(int(taken_at * 1e9))
    return metric
