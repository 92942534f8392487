"""When a session ends by itself, as its server said last."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skytorch_wire import sessions_pb2

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Expiry"]

_CAUSES = {
    sessions_pb2.Expiry.IDLE: "no heartbeat",
    sessions_pb2.Expiry.MAX_AGE: "maximum age",
    sessions_pb2.Expiry.SERVER_STOPS: "the server stops",
}


@dataclass(frozen=True)
class Expiry:
    """The end that is nearest."""

    at: float
    """On this process's monotonic clock."""
    cause: str
    """In a few words; empty when the server named none that is known here."""
    soon: bool
    """The server announces it."""

    @classmethod
    def of(cls, said: sessions_pb2.Expiry) -> Self:
        """What a server has just said."""
        return cls(time.monotonic() + said.seconds, _CAUSES.get(said.cause, ""), said.soon)

    @property
    def seconds(self) -> float:
        """How long it is until then; never below 0."""
        return max(self.at - time.monotonic(), 0.0)
