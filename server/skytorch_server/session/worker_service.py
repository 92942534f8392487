"""skytorch.server.Worker: what the front asks of a session's process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psutil

from skytorch_wire import sessions_pb2, sessions_pb2_grpc

if TYPE_CHECKING:
    import grpc

    from .executor import Executor
    from .functions import Functions

    Context = grpc.aio.ServicerContext[Any, Any]


class WorkerService(sessions_pb2_grpc.WorkerServicer):
    """Both calls only look something up or set a flag, whatever the executor is at."""

    def __init__(self, executor: Executor, functions: Functions) -> None:
        self._executor = executor
        self._functions = functions
        self._process = psutil.Process()

    async def GetStats(  # noqa: N802
        self, _request: sessions_pb2.GetStatsRequest, _context: Context
    ) -> sessions_pb2.SessionStats:
        return sessions_pb2.SessionStats(**self._executor.stats(), resident_bytes=self._process.memory_info().rss)

    async def Cancel(self, request: sessions_pb2.CancelRequest, _context: Context) -> sessions_pb2.CancelResponse:  # noqa: N802
        self._executor.cancel(request.from_sequence, request.through_sequence)
        self._functions.interrupt(request.from_sequence, request.through_sequence)
        return sessions_pb2.CancelResponse()
