"""What the front asks of a session's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from skytorch_wire import sessions_pb2, sessions_pb2_grpc

if TYPE_CHECKING:
    from .session import Session

#: How long the front waits for a worker that only has to look something up.
WORKER_SECONDS = 2.0


def worker_stub(session: Session) -> sessions_pb2_grpc.WorkerStub:
    return sessions_pb2_grpc.WorkerStub(session.worker.channel)


async def stats_of(session: Session) -> sessions_pb2.SessionStats | None:
    """The session's numbers; None when its process doesn't answer."""
    try:
        stats: sessions_pb2.SessionStats = await worker_stub(session).GetStats(
            sessions_pb2.GetStatsRequest(), timeout=WORKER_SECONDS
        )
    except grpc.aio.AioRpcError:
        return None
    return stats
