"""The server's port: a connection is looked at once, and then passed on unread.

What begins as HTTP/2 goes to the front's own gRPC server, which listens on a Unix socket behind this. An HTTP CONNECT
to the name of a session's tunnel goes to that session's local socket, which takes its stream alone and demands the
session's secret. So a stream passes through the front's port as bytes: they are copied, not parsed. Where the server
has a certificate, both are within TLS, which ends here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from typing import TYPE_CHECKING

from .sockets import encrypt, receive, says_something, send_all
from .splice import Splice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .tls import Tls

_log = logging.getLogger(__name__)

_CONNECT = b"CONNECT "
_END = b"\r\n\r\n"
_LONGEST_HEAD = 4096
_REQUEST = re.compile(rb"CONNECT ([0-9A-Za-z-]{1,64}):[0-9]{1,5} HTTP/1\.[01]\r\n")
# A client says what it wants with its first packet.
_HEAD_SECONDS = 10.0
_CONNECTIONS = 4096
# Fewer and larger pieces of bulk data, as far as the system allows: half the processor time.
_SEND_BYTES = 1024 * 1024
# A peer that vanished without a word is noticed by these: seconds until the first probe, between them, and how many.
_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}


class Door:
    """Accepts on some sockets until :meth:`close`."""

    def __init__(self, front: Path, tunnel: Callable[[str], Path | None], tls: Tls | None = None) -> None:
        """`front` is where the gRPC server listens; `tunnel` says where the session of a name does, if there is one."""
        self._front = front
        self._tunnel = tunnel
        self._tls = tls
        self._callers: dict[str, str] = {}
        #: Connections that came to no TLS.
        self.tls_failures = 0
        self._loop = asyncio.get_running_loop()
        self._listening: list[socket.socket] = []
        self._entering: set[asyncio.Task[None]] = set()
        self._open: set[Splice] = set()

    def listen(self, sockets: list[socket.socket]) -> None:
        """Begins to accept on sockets that listen, which it then owns."""
        for listener in sockets:
            listener.setblocking(False)
            self._listening.append(listener)
            self._loop.add_reader(listener, self._accept, listener)

    def stop_listening(self) -> None:
        """Lets nobody in any more; those who are stay."""
        for listener in self._listening:
            self._loop.remove_reader(listener)
            listener.close()
        self._listening.clear()

    def close(self) -> None:
        """Ends every connection."""
        self.stop_listening()
        for entering in self._entering:
            entering.cancel()
        for splice in list(self._open):
            splice.close()

    def address_of(self, peer: str) -> str:
        """The address of the client that the gRPC server knows as `peer`: all of them come to it by the door."""
        return self._callers.get(peer, peer)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            # Out of descriptors: those who wait are accepted when some are free again.
            _log.warning("can't accept a connection: %s", error)
            self._loop.remove_reader(listener)
            self._loop.call_later(1.0, self._accept_again, listener)
            return
        if len(self._open) + len(self._entering) >= _CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _PROBES.items():
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        entering = asyncio.create_task(self._enter(connection, str(address[0]).removeprefix("::ffff:")))
        self._entering.add(entering)
        entering.add_done_callback(self._entering.discard)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener in self._listening:
            self._loop.add_reader(listener, self._accept, listener)

    async def _enter(self, connection: socket.socket, address: str) -> None:
        inner = socket.socket(socket.AF_UNIX)
        inner.setblocking(False)
        inner.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                if self._tls is not None:
                    if not await says_something(connection):
                        # A probe that looks whether somebody listens, as a kubelet's, is no failure of TLS.
                        raise ConnectionResetError
                    connection = await encrypt(connection, self._tls.context())
                head = await _head(connection)
                target, answer = self._target(head)
                if target is not None:
                    # A name of its own, which the system finds: by it the gRPC server tells one client from another.
                    inner.bind("")
                    await self._loop.sock_connect(inner, str(target))
                if answer:
                    await send_all(connection, answer)
            if target is None:
                raise ConnectionRefusedError
            _, _, rest = head.partition(_END) if answer else (b"", b"", head)
            self._pass_on(connection, inner, address, rest)
        except (OSError, asyncio.CancelledError) as error:  # TimeoutError is one of the former
            if isinstance(error, ssl.SSLError):
                self.tls_failures += 1
                _log.info("%s comes to no TLS: %s", address, _why(error))
            connection.close()
            inner.close()

    def _pass_on(self, connection: socket.socket, inner: socket.socket, address: str, received: bytes) -> None:
        name = "unix-abstract:" + inner.getsockname()[1:].decode(errors="replace")
        self._callers[name] = address

        def closed(splice: Splice) -> None:
            self._open.discard(splice)
            self._callers.pop(name, None)

        splice = Splice(connection, inner, closed)
        self._open.add(splice)
        splice.start(received)

    def _target(self, head: bytes) -> tuple[Path | None, bytes]:
        """Where to, and what is answered first."""
        if not head.startswith(_CONNECT):
            return self._front, b""
        request = _REQUEST.match(head)
        if request is None or _END not in head[:_LONGEST_HEAD]:
            return None, _answer("400 Bad Request")
        path = self._tunnel(request[1].decode())
        return (path, b"HTTP/1.1 200 OK\r\n\r\n") if path else (None, _answer("404 Not Found"))


async def _head(connection: socket.socket) -> bytes:
    """What tells where the connection is to go: all of an HTTP CONNECT's head, else the first bytes."""
    head = b""
    while True:
        more = await receive(connection, _LONGEST_HEAD)
        if not more:
            raise ConnectionResetError
        head += more
        if not head.startswith(_CONNECT[: len(head)]) or _END in head:
            return head
        if len(head) > _LONGEST_HEAD:
            return head


def _why(error: ssl.SSLError) -> str:
    return getattr(error, "verify_message", "") or (error.reason or "it broke off").replace("_", " ").lower()


def _answer(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
