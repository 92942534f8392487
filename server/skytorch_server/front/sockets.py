"""Sockets that don't block, with TLS or without, awaited on the event loop.

asyncio's own calls refuse sockets of the ssl module; its transports would stand between a socket and its bytes.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: What such a socket raises when it would have to wait: those of TLS are no BlockingIOError.
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

_PART_SECONDS = 1.0
_PART_PIECES = 16


async def encrypt(connection: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The connection with TLS, once the client has agreed. Takes `connection` over. Raises OSError."""
    encrypted = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    try:
        await _when_ready(encrypted, encrypted.do_handshake, writing=False)
    except ssl.SSLError:
        with suppress(OSError):
            await _part(encrypted)
        encrypted.close()
        raise
    except BaseException:
        encrypted.close()
        raise
    return encrypted


async def says_something(connection: socket.socket) -> bool:
    """Waits for the first byte, which stays unread; False when the other end goes without one. Raises OSError."""
    return bool(await _when_ready(connection, lambda: connection.recv(1, socket.MSG_PEEK), writing=False))


async def receive(connection: socket.socket, size: int) -> bytes:
    """At most `size` bytes; none when the other end will send no more. Raises OSError."""
    received: bytes = await _when_ready(connection, lambda: connection.recv(size), writing=False)
    return received


async def send_all(connection: socket.socket, data: bytes) -> None:
    """Sends all of it. Raises OSError."""
    while data:
        data = data[await _when_ready(connection, lambda: connection.send(data), writing=True) :]  # noqa: B023


async def _part(connection: ssl.SSLSocket) -> None:
    """Lets a client read why TLS came to nothing: closed with something unread, the connection would be reset."""
    socket.socket.shutdown(connection, socket.SHUT_WR)
    async with asyncio.timeout(_PART_SECONDS):
        for _ in range(_PART_PIECES):
            if not await _when_ready(connection, lambda: socket.socket.recv(connection, 4096), writing=False):
                return


async def _when_ready(connection: socket.socket, attempt: Callable[[], Any], *, writing: bool) -> Any:
    while True:
        try:
            return attempt()
        except ssl.SSLWantReadError:
            await _ready(connection, writing=False)
        except ssl.SSLWantWriteError:
            await _ready(connection, writing=True)
        except BlockingIOError:
            await _ready(connection, writing=writing)


async def _ready(connection: socket.socket, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    handle = connection.fileno()

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    if writing:
        loop.add_writer(handle, note)
    else:
        loop.add_reader(handle, note)
    try:
        await ready
    finally:
        if writing:
            loop.remove_writer(handle)
        else:
            loop.remove_reader(handle)
