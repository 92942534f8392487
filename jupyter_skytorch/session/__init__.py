"""The client end of a session: the stream between the device's sink and the server."""

from .session import Counters, Session

__all__ = ["Counters", "Session"]
