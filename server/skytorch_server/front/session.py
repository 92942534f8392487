"""One session as the front knows it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skytorch_wire import sessions_pb2

if TYPE_CHECKING:
    from .worker_process import WorkerProcess

ACTIVE = sessions_pb2.SESSION_STATE_ACTIVE


@dataclass(eq=False)
class Session:
    """A session, active or ended. `created` and `last_heartbeat` are seconds since the epoch."""

    session_id: str
    name: str
    principal: str
    lease_seconds: float
    labels: dict[str, str]
    worker: WorkerProcess
    state: sessions_pb2.SessionState = ACTIVE
    reason: str = ""
    created: float = field(default_factory=time.time)
    last_heartbeat: float = field(default_factory=time.time)
    #: When the lease was last renewed, on the clock that stands still while the machine sleeps: a laptop that was shut
    #: for the night has lost nothing.
    renewed: float = field(default_factory=time.monotonic)
    #: Set when the session is no longer active.
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def active(self) -> bool:
        return self.state == ACTIVE

    def renew(self) -> None:
        """Begins the lease anew."""
        self.last_heartbeat = time.time()
        self.renewed = time.monotonic()

    @property
    def lease_left(self) -> float:
        """Seconds until it expires."""
        return self.renewed + self.lease_seconds - time.monotonic()

    def message(self, stats: sessions_pb2.SessionStats | None = None) -> sessions_pb2.Session:
        """The session as it is told to its principal."""
        message = sessions_pb2.Session(
            session_id=self.session_id,
            name=self.name,
            principal=self.principal,
            state=self.state,
            reason=self.reason,
            lease_seconds=self.lease_seconds,
            labels=self.labels,
            pid=self.worker.pid,
            stats=stats,
        )
        message.created.FromNanoseconds(int(self.created * 1e9))
        message.last_heartbeat.FromNanoseconds(int(self.last_heartbeat * 1e9))
        return message
