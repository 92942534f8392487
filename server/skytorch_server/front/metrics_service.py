"""skytorch.server.Metrics, as clients call it."""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import grpc

from skytorch_wire import metrics_pb2, metrics_pb2_grpc

from .auth import caller
from .refusal import Refusal, refusals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from skytorch_server.metrics.sampler import Sampler

_DEFAULT_INTERVAL = 1.0
_SHORTEST_INTERVAL = 0.1
_LONGEST_INTERVAL = 3600.0

Context = grpc.aio.ServicerContext[Any, Any]


class MetricsService(metrics_pb2_grpc.MetricsServicer):
    """Each answer holds what its caller may see."""

    def __init__(self, sampler: Sampler, boot_id: str) -> None:
        self._sampler = sampler
        self._boot_id = boot_id

    async def GetMetrics(  # noqa: N802
        self, request: metrics_pb2.GetMetricsRequest, context: Context
    ) -> metrics_pb2.MetricsSnapshot:
        async with refusals(context):
            self._check(request.sources)
        return await self._snapshot(request.sources, _SHORTEST_INTERVAL)

    async def StreamMetrics(  # noqa: N802
        self, request: metrics_pb2.StreamMetricsRequest, context: Context
    ) -> AsyncIterator[metrics_pb2.MetricsSnapshot]:
        async with refusals(context):
            self._check(request.sources)
            interval = request.interval_seconds or _DEFAULT_INTERVAL
            if not _SHORTEST_INTERVAL <= interval <= _LONGEST_INTERVAL:
                raise Refusal(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"interval_seconds is between {_SHORTEST_INTERVAL:g} and {_LONGEST_INTERVAL:g}, not {interval:g}",
                )
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            # Somebody else's reading of this interval is as good as a new one.
            yield await self._snapshot(request.sources, 0.9 * interval)
            # A client that reads slowly misses readings, and gets no burst of them.
            due = max(due + interval, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _snapshot(self, sources: Iterable[str], max_age: float) -> metrics_pb2.MetricsSnapshot:
        snapshot = await self._sampler.snapshot(sources, caller.get(), max_age)
        snapshot.boot_id = self._boot_id
        return snapshot

    def _check(self, sources: Iterable[str]) -> None:
        for source in sources:
            if source not in self._sampler.names:
                close = get_close_matches(source, self._sampler.names, 1)
                advice = f": did you mean {close[0]!r}?" if close else f"; there are {', '.join(self._sampler.names)}"
                raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"no metrics source is called {source!r} here{advice}")
