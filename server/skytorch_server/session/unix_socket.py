"""What comes to a Unix socket of the session's own: connections, and messages on them, each after its length."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

__all__ = ["Listener", "NoMessageError", "receive", "send"]

_BACKLOG = 64
_LENGTH_BYTES = 4
_ACCEPT_AGAIN_SECONDS = 1.0


class NoMessageError(Exception):
    """What came is no message: the other end hung up before it was whole, or it is longer than it may be."""


class Listener:
    """Serves each connection to a path by a task of its own, until closed."""

    def __init__(self, path: Path, serve: Callable[[socket.socket], Awaitable[None]], *, most: int) -> None:
        """`serve` gets a connection that doesn't block, which is closed when it returns; it may raise OSError.

        Beyond `most` at a time, connections are closed as they come. Unanswered, they would wait for as long as the
        other end likes; without a bound, they would take the descriptors that the session needs.
        """
        self._serve = serve
        self._most = most
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        self._listener.listen(_BACKLOG)
        self._serving: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Takes no more connections; those that are open end with the process."""
        self._accepting.cancel()
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError:  # out of descriptors, for now
                await asyncio.sleep(_ACCEPT_AGAIN_SECONDS)
                continue
            if len(self._serving) >= self._most:
                connection.close()
                continue
            task = asyncio.create_task(self._serve_one(connection))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve_one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # TimeoutError is one
            connection.setblocking(False)
            await self._serve(connection)


async def receive(connection: socket.socket, longest: int) -> bytes:
    """One message of so many bytes at most. Raises NoMessageError."""
    size = int.from_bytes(await _exactly(connection, _LENGTH_BYTES), "little")
    if size > longest:
        raise NoMessageError
    return await _exactly(connection, size)


async def send(connection: socket.socket, message: bytes) -> None:
    """Sends one message."""
    await asyncio.get_running_loop().sock_sendall(connection, len(message).to_bytes(_LENGTH_BYTES, "little") + message)


async def _exactly(connection: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        part = await loop.sock_recv(connection, size - len(data))
        if not part:
            raise NoMessageError
        data += part
    return bytes(data)
