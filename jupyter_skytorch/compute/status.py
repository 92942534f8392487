"""What is known about a Compute at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from skytorch_wire import sessions_pb2

if TYPE_CHECKING:
    from .kubernetes.summary import Summary

__all__ = ["State", "Status"]

State = Literal["connected", "lost", "closed", "pending", "ready", "suspended", "deleted"]
"""Of the session; of a Compute in Kubernetes without one, as the cluster has it."""


@dataclass(frozen=True)
class Status:
    """A Compute and this process's session on it."""

    name: str
    provider: str
    address: str
    state: State
    reason: str
    """Why it is lost, or not ready; empty when nothing is wrong."""
    devices: tuple[sessions_pb2.Device, ...] = ()
    torch_version: str = ""
    """The server's; empty without a session, and so are the next two."""
    server_version: str = ""
    session_id: str = ""
    round_trip_seconds: float | None = None
    """None when the server did not answer."""
    session: sessions_pb2.Session = field(default_factory=sessions_pb2.Session)
    """As the server has it, with what it granted and counted; empty when it did not answer."""

    summary: Summary | None = None
    """As its cluster has it; None where it isn't in one."""

    @property
    def stats(self) -> sessions_pb2.SessionStats:
        """As the server counted last; empty when it did not answer."""
        return self.session.stats
