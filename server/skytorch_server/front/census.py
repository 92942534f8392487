"""Tells the metrics which sessions there are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from skytorch_server.metrics.source import LiveSession

from .worker_calls import stats_of

if TYPE_CHECKING:
    from .session import Session
    from .sessions import Sessions


class SessionCensus:
    """A :class:`skytorch_server.metrics.source.Census` of the front's sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def owners(self) -> dict[int, tuple[str, str]]:
        return {session.worker.pid: (session.session_id, session.principal) for session in self._sessions.active()}

    async def count(self) -> list[LiveSession]:
        return await asyncio.gather(*(_ask(session) for session in self._sessions.active()))


async def _ask(session: Session) -> LiveSession:
    stats = await stats_of(session)
    return LiveSession(session.session_id, session.name, session.principal, session.worker.pid, stats)
