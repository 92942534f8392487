"""The one place where versions are stated."""

from __future__ import annotations

__version__ = "0.1.0"

#: Raised whenever a record, a message or their meaning changes in a way that an older peer would misread.
PROTOCOL_VERSION = 1
