"""What is known about a Compute at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from skytorch_wire import sessions_pb2

__all__ = ["State", "Status"]

State = Literal["connected", "lost", "closed"]


@dataclass(frozen=True)
class Status:
    """A Compute and this process's session on it."""

    name: str
    provider: str
    address: str
    state: State
    reason: str
    """Why it is lost; empty while it is connected."""
    devices: tuple[sessions_pb2.Device, ...]
    torch_version: str
    """The server's."""
    server_version: str
    session_id: str
    round_trip_seconds: float | None
    """None when the server did not answer."""
    session: sessions_pb2.Session
    """As the server has it, with what it granted and counted; empty when it did not answer."""

    @property
    def stats(self) -> sessions_pb2.SessionStats:
        """As the server counted last; empty when it did not answer."""
        return self.session.stats
