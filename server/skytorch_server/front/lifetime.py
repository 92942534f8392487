"""How long a session lives: its lease, which heartbeats renew, and its maximum age, which nothing does."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skytorch_wire import sessions_pb2

if TYPE_CHECKING:
    import asyncio

_IDLE = sessions_pb2.Expiry.IDLE
_MAX_AGE = sessions_pb2.Expiry.MAX_AGE
_SERVER_STOPS = sessions_pb2.Expiry.SERVER_STOPS
SERVER_STOPPED = "the server was stopped"
NOT_ANNOUNCED = sessions_pb2.Expiry.CAUSE_UNSPECIFIED

# An end is announced for the last tenth of the time that it comes after, and for so many seconds at most.
_ANNOUNCED_PART = 0.1
_ANNOUNCED_SECONDS = 300.0


@dataclass(eq=False)
class Lifetime:
    """Times on the clock that stands still while the machine sleeps: a laptop shut for the night has lost nothing."""

    lease_seconds: float
    max_age_seconds: float
    """0: no maximum."""
    began: float = field(default_factory=time.monotonic)
    renewed: float = field(default_factory=time.monotonic)
    announced: sessions_pb2.Expiry.Cause = NOT_ANNOUNCED
    timer: asyncio.TimerHandle | None = None
    stops: float | None = None
    """When its server does, if it is about to."""

    def renew(self) -> None:
        """Begins the lease anew."""
        self.renewed = time.monotonic()

    def expiry(self) -> sessions_pb2.Expiry:
        """When it ends, as things are, and by what."""
        now = time.monotonic()
        left, whole, cause = self.renewed + self.lease_seconds - now, self.lease_seconds, _IDLE
        if self.max_age_seconds and (age_left := self.began + self.max_age_seconds - now) < left:
            left, whole, cause = age_left, self.max_age_seconds, _MAX_AGE
        soon = left <= _announced(whole)
        if self.stops is not None and (stops_left := self.stops - now) < left:
            left, cause, soon = stops_left, _SERVER_STOPS, True
        return sessions_pb2.Expiry(seconds=max(left, 0.0), cause=cause, soon=soon)

    def next_look(self, expiry: sessions_pb2.Expiry) -> float:
        """Seconds from an expiry that was just told until it is to be announced, or else until it comes."""
        if expiry.soon:
            return expiry.seconds
        whole = self.lease_seconds if expiry.cause == _IDLE else self.max_age_seconds
        return expiry.seconds - _announced(whole)

    def reason(self, expiry: sessions_pb2.Expiry) -> str:
        """Why the session has ended, for its owner."""
        if expiry.cause == _MAX_AGE:
            return f"it reached its maximum age of {self.max_age_seconds:g} s"
        if expiry.cause == _SERVER_STOPS:
            return SERVER_STOPPED
        return f"no heartbeat for {self.lease_seconds:g} s"


def _announced(whole: float) -> float:
    return min(_ANNOUNCED_PART * whole, _ANNOUNCED_SECONDS)
