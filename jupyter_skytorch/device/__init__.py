"""The device ``sky`` as PyTorch sees it. Importing this registers it.

A C++ core (``csrc``) writes what is done to sky tensors as records into a :class:`Sink`, which a session drains.
"""

from __future__ import annotations

from .backend import Sink, core, marks, new_sink
from .errors import ConnectError, SessionClosed, SessionLost, SkyError
from .loading import load_into
from .settings import follow as follow_settings

__all__ = [
    "ConnectError",
    "SessionClosed",
    "SessionLost",
    "Sink",
    "SkyError",
    "core",
    "follow_settings",
    "load_into",
    "marks",
    "new_sink",
]
