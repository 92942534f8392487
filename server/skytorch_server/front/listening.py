"""Where a server listens, and where it must not."""

from __future__ import annotations

import ipaddress
import logging
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import grpc

_log = logging.getLogger(__name__)

_LOOPBACK = ("127.0.0.1", "[::1]")


class ListenError(RuntimeError):
    """The server can't listen where it was told to; the message says why."""


@dataclass(frozen=True)
class Listening:
    """What a server listens on: gRPC targets, and the port (0 for a Unix socket)."""

    addresses: list[str]
    port: int


def listen_on_port(server: grpc.aio.Server, host: str, port: int, *, token: bool, insecure: bool) -> Listening:
    """Listens on TCP `port` (0: any free one) of `host`; on loopback only when anybody could come in otherwise.

    Raises:
        ListenError: the port is taken, or the host isn't this machine's.
    """
    host = _bracketed(host)
    if not is_loopback(host):
        if not (token or insecure):
            _log.warning(
                "listening on loopback only, not on %s: anybody who reaches the port could use this server. "
                "Give it a --token-file, or allow it with --insecure",
                host,
            )
            return _listen_on_loopback(server, port)
        if token and not insecure:
            _log.warning("listening on %s without TLS: tokens and tensors travel readable", host)
        if not token:
            _log.warning("listening on %s without a token file: whoever reaches the port can use this server", host)
    chosen = _bind(server, host, port)
    return Listening([f"{host}:{chosen}"], chosen)


def _listen_on_loopback(server: grpc.aio.Server, port: int) -> Listening:
    addresses = []
    for host in _LOOPBACK:
        # A machine may have IPv4 or IPv6 only; both get the same port.
        with suppress(ListenError):
            port = _bind(server, host, port)
            addresses.append(f"{host}:{port}")
    if not addresses:
        raise ListenError(f"can't listen on port {port} of this machine: is it taken?")
    return Listening(addresses, port)


def listen_on_socket(server: grpc.aio.Server, path: Path) -> Listening:
    """Listens on a Unix socket in a folder that nobody else can enter, which is made when it is missing.

    Raises:
        ListenError: others can enter the folder, or a server listens there already.
    """
    path = path.absolute()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.parent.stat()
    except OSError as error:
        raise ListenError(f"can't use the folder {path.parent}: {error.strerror}") from error
    if status.st_mode & 0o077:
        raise ListenError(f"others can enter {path.parent}: a server's socket needs a folder of its own (chmod 700)")
    with socket.socket(socket.AF_UNIX) as probe, suppress(FileNotFoundError, ConnectionRefusedError):
        try:
            probe.connect(str(path))
        except OSError as error:
            if isinstance(error, FileNotFoundError | ConnectionRefusedError):
                raise
            raise ListenError(f"can't listen on {path}: {error}") from error
        raise ListenError(f"a server listens on {path} already")
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise ListenError(f"can't listen on {path}") from error
    return Listening([f"unix:{path}"], 0)


def is_loopback(host: str) -> bool:
    """Whether `host` is a name or address of loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _bind(server: grpc.aio.Server, host: str, port: int) -> int:
    try:
        chosen = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise ListenError(f"can't listen on {host}:{port}: is the port taken?") from error
    if chosen == 0:
        raise ListenError(f"can't listen on {host}:{port}")
    return chosen
