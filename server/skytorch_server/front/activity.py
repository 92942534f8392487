"""How much a server is used: what an operator looks at before it takes the machine away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from skytorch_wire import sessions_pb2

if TYPE_CHECKING:
    from .session import Session
    from .sessions import Sessions

# A kernel renews its lease so often, in seconds and in parts of the lease; it is given up for gone after three of them.
_HEARTBEAT_SECONDS = 60.0
_HEARTBEAT_PART = 0.25
_MISSED = 3


class Activity:
    """Follows the sessions from the server's start on."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        # Of what is over. Seconds since the epoch, as all times here.
        self._last = time.time()
        sessions.watchers.listen(self._note)

    def message(self) -> sessions_pb2.ActivityResponse:
        """How things are now."""
        used = {session: self._sessions.last_used(session) for session in self._sessions.active()}
        now = time.time()
        answer = sessions_pb2.ActivityResponse(
            sessions=len(used), orphans=sum(now - last > _patience(session) for session, last in used.items())
        )
        answer.last_activity.FromNanoseconds(int(max([self._last, *used.values()]) * 1e9))
        return answer

    def _note(self, kind: sessions_pb2.SessionEvent.Kind, session: Session) -> None:
        if kind != sessions_pb2.SessionEvent.ENDED:
            return
        closed = session.state == sessions_pb2.SESSION_STATE_CLOSED
        self._last = max(self._last, time.time() if closed else session.last_heartbeat)


def _patience(session: Session) -> float:
    return _MISSED * min(_HEARTBEAT_PART * session.granted.lease_seconds, _HEARTBEAT_SECONDS)
