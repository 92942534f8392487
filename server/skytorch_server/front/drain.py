"""The last seconds of a server: what was issued is executed, what has a name is written, and users are told."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import grpc

from skytorch_wire import sessions_pb2

from .worker_calls import WORKER_SECONDS, worker_stub

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .checkpoints import Checkpoints
    from .session import Session
    from .sessions import Sessions

_log = logging.getLogger(__name__)

# Of the time, where checkpoints are to be written in what is left of it.
_WORKING_PART = 0.5
_ALL = {"from_sequence": 1, "through_sequence": 2**64 - 1}


async def drain(sessions: Sessions, checkpoints: Checkpoints, seconds: float, hurried: asyncio.Event) -> None:
    """Returns when no session has anything to do and checkpoints are written, and after `seconds` in any case.

    Work that isn't done by then, or when `hurried` is set, is skipped, and a function that runs is interrupted.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    sessions.announce_stop(seconds)
    there = sessions.active()
    if not there:
        return
    _log.info("the server stops: %d sessions may finish what they are at, for %g s at most", len(there), seconds)
    working = seconds * _WORKING_PART if checkpoints.kept else seconds
    late = await _drained(there, working, hurried)
    if late:
        _log.warning("%d sessions were still at work: the rest of it is skipped", len(late))
        await asyncio.gather(*(_skip(session) for session in late))
    await checkpoints.write_all([session for session in there if session.active], max(deadline - loop.time(), 0.0))


async def _drained(sessions: Sequence[Session], seconds: float, hurried: asyncio.Event) -> list[Session]:
    """Those that had still something to do."""
    draining = {asyncio.create_task(_drain(session, seconds)): session for session in sessions}
    hurry = asyncio.create_task(hurried.wait())
    try:
        ends: list[asyncio.Future[Any]] = [asyncio.gather(*draining), hurry]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return [session for task, session in draining.items() if not (task.done() and task.result())]
    finally:
        for task in (*draining, hurry):
            task.cancel()
        await asyncio.gather(*draining, hurry, return_exceptions=True)


async def _drain(session: Session, seconds: float) -> bool:
    """Whether there is nothing to do any more."""
    try:
        await worker_stub(session).Drain(sessions_pb2.DrainRequest(), timeout=seconds)
    except grpc.aio.AioRpcError:
        # One that has ended meanwhile has nothing to do, either.
        return not session.active
    return True


async def _skip(session: Session) -> None:
    request = sessions_pb2.CancelRequest(session_id=session.session_id, **_ALL)
    try:
        await worker_stub(session).Cancel(request, timeout=WORKER_SECONDS)
    except grpc.aio.AioRpcError as error:
        _log.warning("session %s can't be told to stop: %s", session.session_id, error.details())
