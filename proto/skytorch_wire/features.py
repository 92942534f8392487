"""What an end can do beside what every one does, as Capabilities tell it."""

from __future__ import annotations

import sys

__all__ = ["COPIES", "FUNCTIONS", "PYTHON_VERSION"]

#: The server runs functions that clients send.
FUNCTIONS = "functions"

#: The server sends tensors to other servers, and takes them from there.
COPIES = "copies"

#: Functions travel as this Python's own code, which another minor version can't read.
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
