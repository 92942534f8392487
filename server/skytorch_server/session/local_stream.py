"""StreamOperations over a plain Unix socket: for clients on this machine, and those that the front's port lets through.

gRPC from Python costs two processes of one machine some 200 µs for an answer of a few bytes, most of it in threads that
wake each other. Here the executor reads and writes the socket itself; what is said at the beginning and the end is the
same, and is checked by the same code.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import grpc

from skytorch_wire import service_pb2

from .replies import MalformedError
from .stream import End
from .unix_socket import Listener, NoMessageError, receive, send

if TYPE_CHECKING:
    from .replies import Route
    from .spec import SessionSpec
    from .stream import Stream

# One is attached. The others are on their way in or out: for seconds, or while a log begins anew, until what was issued
# to the one before has run. A client gives up after ten seconds of that, as do we with whoever says nothing; so one
# that comes again and again doesn't fill this, and one that is refused all the same comes again.
_CONNECTIONS = 64
# Whoever has not shown the secret yet.
_ATTACH_BYTES = 64 * 1024
_ATTACH_SECONDS = 10.0
_FAREWELL_SECONDS = 2.0


class LocalStreams:
    """Listens on the session's local socket until closed."""

    def __init__(self, spec: SessionSpec, stream: Stream, route: Route) -> None:
        """Listens. Anybody may come in who knows the name of the session's tunnel: the secret is what counts."""
        self._stream = stream
        self._route = route
        self._listener = Listener(spec.local_socket, self._serve, most=_CONNECTIONS)

    def close(self) -> None:
        """Takes no more connections; those that are open end with the process."""
        self._listener.close()

    async def _serve(self, connection: socket.socket) -> None:
        first = await asyncio.wait_for(_receive(connection), _ATTACH_SECONDS)
        end = await self._stream.attach(first, lambda taken_over: self._operations(connection, taken_over))
        ended = service_pb2.Ended(code=end.code.value[0], message=end.message) if end else service_pb2.Ended()
        connection.setblocking(False)
        farewell = send(connection, service_pb2.StreamResponse(ended=ended).SerializeToString())
        await asyncio.wait_for(farewell, _FAREWELL_SECONDS)

    async def _operations(self, connection: socket.socket, taken_over: asyncio.Future[End]) -> End | None:
        await send(connection, self._stream.reopened(by_socket=True))
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
    try:
        return await receive(connection, _ATTACH_BYTES)
    except NoMessageError:
        return b""
