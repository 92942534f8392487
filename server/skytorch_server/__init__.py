"""The torch gRPC server: a front that clients reach, and one process a session.

Started with ``python -m skytorch_server`` or, inside an asyncio program, with :func:`serve`. Importing this package
imports neither torch nor gRPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skytorch_wire import __version__

if TYPE_CHECKING:
    from .front.server import Server, serve

__all__ = ["Server", "__version__", "serve"]


def __getattr__(name: str) -> Any:
    if name in {"Server", "serve"}:
        from .front import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
