"""Sockets to a session's process: on this machine, or through its server's port by an HTTP CONNECT."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from skytorch_wire import tunnels

from .encrypted import passed_on
from .stream import NoWayError

if TYPE_CHECKING:
    from .way import Encrypts, Way

__all__ = ["open_socket"]

_CONNECT_SECONDS = 4.0
# Over a network only silence tells that a peer is gone: seconds until it is asked, between questions, and how many. The
# names are those of Linux; other systems have the first under another name, and their own ideas about the rest.
_PROBES = {"TCP_KEEPIDLE": 20, "TCP_KEEPALIVE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


def open_socket(way: Way) -> socket.socket:
    """A connected socket. Raises NoWayError."""
    if way.door is not None:
        return _through(way.door, way.target, way.encryption)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(way.target)
    except OSError as error:
        connection.close()
        raise NoWayError(f"the server refused the session's stream: {error.strerror or error}") from None
    return connection


def _through(door: tuple[str, int], name: str, encryption: Encrypts | None) -> socket.socket:
    try:
        connection = socket.create_connection(door, _CONNECT_SECONDS)
    except OSError as error:
        raise NoWayError(f"the server can't be reached: {error.strerror or error}") from None
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _PROBES.items():
            if hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        if encryption is not None:
            connection = encryption.context().wrap_socket(connection, server_hostname=encryption.certified or door[0])
        if (status := tunnels.ask(connection, name)) != tunnels.OK:
            raise ConnectionRefusedError(f"it answered {status.decode(errors='replace')}")
    except (OSError, ValueError) as error:
        connection.close()
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise NoWayError(f"the server lets no tunnel through: {why}") from None
    return passed_on(connection) if isinstance(connection, ssl.SSLSocket) else connection
