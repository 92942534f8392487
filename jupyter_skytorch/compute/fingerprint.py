"""What kernels must have in common to share an embedded server."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from skytorch_wire import PROTOCOL_VERSION, __version__

__all__ = ["fingerprint"]

_PACKAGES = ("skytorch_server", "skytorch_wire")
_SOURCES = (".py", ".cpp", ".h")


@cache
def fingerprint() -> str:
    """Return 16 hex digits for the environment: its prefix, torch, this package's version and the server's source."""
    digest = hashlib.sha256()
    for part in (sys.prefix, sys.version, metadata.version("torch"), __version__, str(PROTOCOL_VERSION)):
        digest.update(part.encode() + b"\0")
    for package in _PACKAGES:
        # The packages are only looked up: the client never imports the server.
        spec = importlib.util.find_spec(package)
        for root in sorted(spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(path for path in Path(root).rglob("*") if path.suffix in _SOURCES):
                digest.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
