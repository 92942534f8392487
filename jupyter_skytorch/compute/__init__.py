"""Computes: provisioned torch servers, and this process's sessions on them.

Names are imported at their first use, so that what needs no torch (:mod:`.channel`, :mod:`.records`) loads none.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .attaching import attach
    from .cluster import Cluster
    from .compute import Compute
    from .connecting import connect
    from .kubernetes.events import log_event
    from .kubernetes.process import init
    from .registry import computes, current, use
    from .status import Status

__all__ = [
    "Cluster",
    "Compute",
    "Status",
    "attach",
    "computes",
    "connect",
    "current",
    "init",
    "log_event",
    "use",
]

# No forked child (a DataLoader's worker, a shell command) uses a connection of ours, and gRPC's fork handlers would
# write a warning into the cell at each one. Read when gRPC is imported, which is later.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# What gRPC's core would write about a failed TLS handshake, a dozen lines of C++ in the cell, is said in one.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

_HOMES = {
    "Cluster": ".cluster",
    "Compute": ".compute",
    "Status": ".status",
    "attach": ".attaching",
    "computes": ".registry",
    "connect": ".connecting",
    "current": ".registry",
    "init": ".kubernetes.process",
    "log_event": ".kubernetes.events",
    "use": ".registry",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
