"""Where a server listens, and where it must not."""

from __future__ import annotations

import errno
import logging
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skytorch_server.loopback import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

    import grpc

_log = logging.getLogger(__name__)

_LOOPBACK = ("127.0.0.1", "[::1]")
_ANY = "[::]"  # of IPv4 too
_BACKLOG = 256


class ListenError(RuntimeError):
    """The server can't listen where it was told to; the message says why."""


@dataclass(frozen=True)
class Listening:
    """What a server listens on: gRPC targets, and the port and its sockets (0 and none for a Unix socket)."""

    addresses: list[str]
    port: int
    sockets: list[socket.socket]


def listen_on_port(host: str, port: int, *, known: bool, encrypted: bool, insecure: bool) -> Listening:
    """Listens on TCP `port` (0: any free one) of `host`; on loopback only where other machines aren't safe to let in.

    They are where clients are `known`, by a token or a certificate, and connections `encrypted`; or if `insecure`.

    Raises:
        ListenError: the port is taken, or the host isn't this machine's.
    """
    host = _bracketed(host)
    if not is_loopback(host):
        lacks = [] if known else ["anybody who reaches the port could use this server (--token-file)"]
        lacks += [] if encrypted else ["tokens and tensors would travel readable (--tls-cert)"]
        if lacks and not insecure:
            _log.warning(
                "listening on loopback only, not on %s: %s. Give it what is named, or allow it with --insecure",
                host,
                ", and ".join(lacks),
            )
            return _listen_on_loopback(port)
        for lack in lacks:
            _log.warning("listening on %s although %s", host, lack)
    sockets = _listen(host, port)
    chosen = _port(sockets)
    return Listening([f"{host}:{chosen}"], chosen, sockets)


def _listen_on_loopback(port: int) -> Listening:
    addresses: list[str] = []
    sockets: list[socket.socket] = []
    for host in _LOOPBACK:
        # A machine may have IPv4 or IPv6 only; both get the same port.
        with suppress(ListenError):
            sockets += _listen(host, port)
            port = _port(sockets)
            addresses.append(f"{host}:{port}")
    if not addresses:
        raise ListenError(f"can't listen on port {port} of this machine: is it taken?")
    return Listening(addresses, port, sockets)


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
    return Listening([f"unix:{path}"], 0, [])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on a host's addresses, all on one port."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            listener = socket.socket(family)
            sockets.append(listener)
            # A server may follow another one at once; two at a time may not share a port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != _ANY))
            listener.bind((address, _port(sockets[:-1]) or port))
            listener.listen(_BACKLOG)
    except OSError as error:
        for listener in sockets:
            listener.close()
        taken = ": is the port taken?" if error.errno == errno.EADDRINUSE else f": {error.strerror}"
        raise ListenError(f"can't listen on {host}:{port}{taken}") from error
    return sockets


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """The host's own addresses. Raises OSError."""
    if host == _ANY and not socket.has_dualstack_ipv6():
        return [(socket.AF_INET, "")]
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _port(sockets: list[socket.socket]) -> int:
    """The port that they listen on; 0 when there are none."""
    return int(sockets[0].getsockname()[1]) if sockets else 0
