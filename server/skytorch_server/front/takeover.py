"""A session passes from one kernel to another, or is left to the next one with what has a name."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from skytorch_wire import sessions_pb2

from .refusal import Refusal
from .worker_calls import worker_stub

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from .session import Session
    from .sessions import Sessions

# A worker that drains what the last kernel issued skips the rest after some seconds; a single op is waited for.
_DRAINED_SECONDS = 30.0
_SECRET_BYTES = 32

T = TypeVar("T")

_whole: set[asyncio.Task[Any]] = set()


async def take_over(session: Session, name: str, labels: Mapping[str, str]) -> None:
    """Gives the session a new secret, and the name (unless empty) and labels of the kernel that will attach with it.

    Raises:
        Refusal: UNAVAILABLE when its process doesn't answer.
    """
    await _to_its_end(_replace_secret(session, free_unnamed=False))
    session.name = name or session.name
    session.labels = dict(labels)
    session.renew()


async def leave(sessions: Sessions, session: Session) -> bool:
    """Frees what has no name, for a kernel that ends, and closes the session if nothing is left; whether something is.

    Nobody is attached after it.

    Raises:
        Refusal: UNAVAILABLE when the session's process doesn't answer; the session then stays for its lease.
    """
    return await _to_its_end(_leave(sessions, session))


async def _leave(sessions: Sessions, session: Session) -> bool:
    if session.active and await _replace_secret(session, free_unnamed=True):
        sessions.keep_alive(session)
        return True
    await sessions.close(session)
    return False


async def _to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Awaits what must be done whole, whatever becomes of the caller: it may be about to end."""
    task = asyncio.create_task(coroutine)
    _whole.add(task)
    task.add_done_callback(_whole.discard)
    return await asyncio.shield(task)


async def _replace_secret(session: Session, *, free_unnamed: bool) -> int:
    """How many objects with a name the session holds."""
    async with session.replacing:
        secret = secrets.token_bytes(_SECRET_BYTES)
        request = sessions_pb2.ReplaceSecretRequest(
            attach_secret=session.attach_secret, new_secret=secret, free_unnamed=free_unnamed
        )
        try:
            replaced = await worker_stub(session).ReplaceSecret(request, timeout=_DRAINED_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise Refusal(
                grpc.StatusCode.UNAVAILABLE, f"session {session.session_id} does not answer: {error.details()}"
            ) from error
        session.attach_secret = secret
    return int(replaced.named)
