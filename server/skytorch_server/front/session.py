"""One session as the front knows it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skytorch_wire import sessions_pb2

from .lifetime import Lifetime

if TYPE_CHECKING:
    from skytorch_server.allowance import Granted

    from .worker_process import WorkerProcess

ACTIVE = sessions_pb2.SESSION_STATE_ACTIVE


@dataclass(eq=False)
class Session:
    """A session, active or ended. `created` and `last_heartbeat` are seconds since the epoch."""

    session_id: str
    name: str
    principal: str
    granted: Granted
    labels: dict[str, str]
    worker: WorkerProcess
    state: sessions_pb2.SessionState = ACTIVE
    reason: str = ""
    created: float = field(default_factory=time.time)
    last_heartbeat: float = field(default_factory=time.time)
    lifetime: Lifetime = field(init=False)
    #: Set when the session is no longer active.
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    #: Held while its secret is replaced.
    replacing: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: What its stream is attached with: the one that it began with until another kernel takes it over.
    attach_secret: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        self.lifetime = Lifetime(self.granted.lease_seconds, self.granted.max_age_seconds)
        self.attach_secret = self.attach_secret or self.worker.spec.attach_secret

    @property
    def active(self) -> bool:
        return self.state == ACTIVE

    def renew(self) -> None:
        """Begins the lease anew."""
        self.last_heartbeat = time.time()
        self.lifetime.renew()

    def message(self, stats: sessions_pb2.SessionStats | None = None) -> sessions_pb2.Session:
        """The session as it is told to its principal."""
        message = sessions_pb2.Session(
            session_id=self.session_id,
            name=self.name,
            principal=self.principal,
            state=self.state,
            reason=self.reason,
            lease_seconds=self.granted.lease_seconds,
            max_age_seconds=self.granted.max_age_seconds,
            memory_bytes=self.granted.memory_bytes,
            expiry=self.lifetime.expiry() if self.active else None,
            labels=self.labels,
            pid=self.worker.pid,
            stats=stats,
        )
        message.created.FromNanoseconds(int(self.created * 1e9))
        message.last_heartbeat.FromNanoseconds(int(self.last_heartbeat * 1e9))
        return message
