"""The client end of a session: the stream between the device's sink and the server."""

from __future__ import annotations

from .session import Counters, Session
from .way import Way

__all__ = ["Counters", "Session", "Way"]
