"""The client end of a session: the stream between the device's sink and the server."""

from __future__ import annotations

from .copies import take_detours
from .function_call import FunctionCall, RemoteError
from .session import Counters, Session
from .way import Way

__all__ = ["Counters", "FunctionCall", "RemoteError", "Session", "Way", "take_detours"]
