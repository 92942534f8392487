"""StreamOperations over a plain Unix socket: for clients on this machine, and those that the front's port lets through.

gRPC from Python costs two processes of one machine some 200 µs for an answer of a few bytes, most of it in threads that
wake each other. Here the executor reads and writes the socket itself; what is said at the beginning and the end is the
same, and is checked by the same code.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import grpc

from skytorch_wire import service_pb2

from .replies import MalformedError
from .stream import End

if TYPE_CHECKING:
    from .replies import Route
    from .spec import SessionSpec
    from .stream import Stream

_BACKLOG = 64
# Whoever has not shown the secret yet.
_ATTACH_BYTES = 64 * 1024
_ATTACH_SECONDS = 10.0
_FAREWELL_SECONDS = 2.0
_ACCEPT_AGAIN_SECONDS = 1.0


class LocalStreams:
    """Listens on the session's local socket until closed."""

    def __init__(self, listener: socket.socket, stream: Stream, route: Route) -> None:
        self._listener = listener
        self._stream = stream
        self._route = route
        self._serving: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    @classmethod
    async def listen(cls, spec: SessionSpec, stream: Stream, route: Route) -> Self:
        """Listens. Anybody may come in who knows the name of the session's tunnel: the secret is what counts."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(str(spec.local_socket))
        listener.listen(_BACKLOG)
        return cls(listener, stream, route)

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
            task = asyncio.create_task(self._serve(connection))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with connection, suppress(OSError, TimeoutError):
            first = await asyncio.wait_for(_receive(connection), _ATTACH_SECONDS)
            end = await self._stream.attach(first, lambda taken_over: self._operations(connection, taken_over))
            ended = service_pb2.Ended(code=end.code.value[0], message=end.message) if end else service_pb2.Ended()
            connection.setblocking(False)
            farewell = _send(connection, service_pb2.StreamResponse(ended=ended).SerializeToString())
            await asyncio.wait_for(farewell, _FAREWELL_SECONDS)

    async def _operations(self, connection: socket.socket, taken_over: asyncio.Future[End]) -> End | None:
        await _send(connection, self._stream.reopened(by_socket=True))
        connection.setblocking(True)
        self._route.attach(connection.fileno(), self._stream.inflate)
        executed = asyncio.create_task(self._route.next())
        try:
            ends: list[asyncio.Future[Any]] = [executed, taken_over]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not self._route.detach():
                # A client that doesn't read is left behind, in the middle of a message.
                connection.shutdown(socket.SHUT_RDWR)
            executed.cancel()
        if taken_over.done():
            return taken_over.result()
        try:
            await executed
        except MalformedError as error:
            return End(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return None


async def _receive(connection: socket.socket) -> bytes:
    """One message; empty when the other end is gone, or says that it is longer than any may be."""
    head = await _exactly(connection, 4)
    size = int.from_bytes(head, "little")
    return await _exactly(connection, size) if size <= _ATTACH_BYTES else b""


async def _exactly(connection: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        part = await loop.sock_recv(connection, size - len(data))
        if not part:
            return b""
        data += part
    return bytes(data)


async def _send(connection: socket.socket, message: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(connection, len(message).to_bytes(4, "little") + message)
