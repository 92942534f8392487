"""skytorch.server.Worker: what the front asks of a session's process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import psutil

from skytorch_server.checkpoints.manifest import CheckpointError
from skytorch_wire import sessions_pb2, sessions_pb2_grpc

from .drain import drained

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .checkpoints import Checkpoints
    from .copies import Copies
    from .executor import Executor
    from .functions import Functions
    from .stream import Stream

    Context = grpc.aio.ServicerContext[Any, Any]


class WorkerService(sessions_pb2_grpc.WorkerServicer):
    """None but the freeing of what has no name waits for what the executor is at."""

    def __init__(
        self, executor: Executor, functions: Functions, copies: Copies, stream: Stream, checkpoints: Checkpoints
    ) -> None:
        self._executor = executor
        self._functions = functions
        self._copies = copies
        self._stream = stream
        self._checkpoints = checkpoints
        self._process = psutil.Process()

    async def GetStats(  # noqa: N802
        self, _request: sessions_pb2.GetStatsRequest, _context: Context
    ) -> sessions_pb2.SessionStats:
        return sessions_pb2.SessionStats(
            **self._executor.stats(),
            resident_bytes=self._process.memory_info().rss,
            queued_bytes=self._executor.pending_bytes(),
        )

    async def Cancel(self, request: sessions_pb2.CancelRequest, _context: Context) -> sessions_pb2.CancelResponse:  # noqa: N802
        self._executor.cancel(request.from_sequence, request.through_sequence)
        self._functions.interrupt(request.from_sequence, request.through_sequence)
        self._copies.interrupt(request.from_sequence, request.through_sequence)
        return sessions_pb2.CancelResponse()

    async def ReplaceSecret(  # noqa: N802
        self, request: sessions_pb2.ReplaceSecretRequest, context: Context
    ) -> sessions_pb2.ReplaceSecretResponse:
        begin = request.free_unnamed
        if not await self._stream.replace_secret(request.attach_secret, request.new_secret, begin=begin):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "the attach secret is not this session's")
        return sessions_pb2.ReplaceSecretResponse(named=self._executor.named())

    async def WriteCheckpoint(  # noqa: N802
        self, request: sessions_pb2.WriteCheckpointRequest, context: Context
    ) -> sessions_pb2.Checkpoint:
        async with _told(context):
            manifest = await self._checkpoints.write(
                request.name, request.session_name, request.objects, request.max_bytes
            )
            return manifest.message()
        raise AssertionError

    async def Restore(  # noqa: N802
        self, request: sessions_pb2.RestoreRequest, context: Context
    ) -> sessions_pb2.RestoreResponse:
        async with _told(context):
            return sessions_pb2.RestoreResponse(objects=await self._checkpoints.restore(request.name, request.objects))
        raise AssertionError

    async def Drain(  # noqa: N802
        self, _request: sessions_pb2.DrainRequest, _context: Context
    ) -> sessions_pb2.DrainResponse:
        await drained(self._executor)
        return sessions_pb2.DrainResponse()


@asynccontextmanager
async def _told(context: Context) -> AsyncIterator[None]:
    try:
        yield
    except CheckpointError as error:
        await context.abort(grpc.StatusCode[error.code], str(error))
