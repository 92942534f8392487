"""Connections to sessions of other servers, or of this one: where they lead may be said by a client, within bounds."""

from __future__ import annotations

import os
import re
import socket
import ssl
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from skytorch_wire import tunnels

from .spec import INTAKE_SOCKET_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from skytorch_server.copy_targets import CopyTargets
    from skytorch_wire import service_pb2

__all__ = ["NoWayError", "open_connection"]

_CONNECT_SECONDS = 5.0
_LAST_PORT = 65535
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_INTAKE = re.compile(r"[0-9a-f]{1,64}")
_SOCKET = re.compile(rf"/[^\0]{{1,100}}/skytorch-[^/]{{8}}/[0-9a-f]{{16}}/{INTAKE_SOCKET_NAME}")
_SEND_BYTES = 1024 * 1024


class NoWayError(Exception):
    """Nothing leads to the other session from here; the message is one line."""


def open_connection(
    destination: service_pb2.CopyDestination, targets: CopyTargets, note: Callable[[socket.socket], None]
) -> socket.socket:
    """A connection to where a session takes in tensors; `note` gets it early, to break it off. Raises NoWayError."""
    if _is_ours(destination.socket):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        connection.settimeout(_CONNECT_SECONDS)
        with suppress(OSError):
            connection.connect(destination.socket)
            return connection
        connection.close()
    if not destination.host:
        raise NoWayError("the other server has no port that this one could reach")
    return _through(destination, targets, note)


def _is_ours(path: str) -> bool:
    """Whether a path is that of a session's socket, of a server of this very user: the client may say any."""
    if not _SOCKET.fullmatch(path):
        return False
    try:
        folders = [os.lstat(folder) for folder in list(Path(path).parents)[:2]]
        ends = os.lstat(path)
    except (OSError, ValueError):
        return False
    own = all(status.st_uid == os.geteuid() for status in (ends, *folders))
    closed = all(stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077 for status in folders)
    return own and closed and stat.S_ISSOCK(ends.st_mode)


def _through(
    destination: service_pb2.CopyDestination, targets: CopyTargets, note: Callable[[socket.socket], None]
) -> socket.socket:
    host, port = destination.host, destination.port
    if not _HOST.fullmatch(host) or not 0 < port <= _LAST_PORT or not _INTAKE.fullmatch(destination.intake):
        raise NoWayError("the other server has no port that this one could reach")
    if complaint := targets.complaint(host, port, encrypted=destination.encrypted):
        raise NoWayError(complaint)
    try:
        connection = socket.create_connection((host, port), _CONNECT_SECONDS)
    except OSError as error:
        raise NoWayError(f"the server can't reach {host}:{port}: {error.strerror or error}") from None
    try:
        note(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if destination.encrypted:
            connection = _context(destination.ca).wrap_socket(connection, server_hostname=destination.certified or host)
            note(connection)
        if tunnels.ask(connection, destination.intake) != tunnels.OK:
            raise ConnectionRefusedError("the session is not there")
    except (OSError, ValueError) as error:
        connection.close()
        raise NoWayError(f"{host}:{port} lets this server not in: {_why(error)}") from None
    return connection


def _context(ca: str) -> ssl.SSLContext:
    """Whom to believe: the authority that the client has told of, or those of this machine."""
    context = ssl.create_default_context(cadata=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", "") or (error.reason or "TLS broke off").replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
