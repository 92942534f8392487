"""Where other servers bring tensors: a socket of the session's own, which takes what there is a ticket for."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from google.protobuf.message import DecodeError

from skytorch_wire import service_pb2

from .tickets import TicketError

if TYPE_CHECKING:
    from .spec import SessionSpec
    from .tickets import Ticket, Tickets

__all__ = ["Intake"]

_BACKLOG = 16
_CONNECTIONS = 32
_COPY_BYTES = 1024
# A sender keeps its connection for the next tensor.
_IDLE_SECONDS = 60.0
# Without a byte of a tensor that has begun.
_SILENT_SECONDS = 30.0
_PIECE_BYTES = 4 * 1024 * 1024
_ACCEPT_AGAIN_SECONDS = 1.0


class Intake:
    """Listens until closed."""

    def __init__(self, listener: socket.socket, tickets: Tickets) -> None:
        self._listener = listener
        self._tickets = tickets
        self._serving: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    @classmethod
    async def listen(cls, spec: SessionSpec, tickets: Tickets) -> Self:
        """Listens. Anybody may come in who knows the name of the session's intake: tickets are what counts."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(str(spec.intake_socket))
        listener.listen(_BACKLOG)
        return cls(listener, tickets)

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
            if len(self._serving) >= _CONNECTIONS:
                connection.close()
                continue
            connection.setblocking(False)
            task = asyncio.create_task(self._serve(connection))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, TimeoutError, DecodeError):
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    size = int.from_bytes(await _exactly(connection, 4), "little")
                    if size > _COPY_BYTES:
                        return
                    copy = service_pb2.Copy.FromString(await _exactly(connection, size))
                try:
                    ticket = await self._tickets.claim(copy.ticket, copy.secret, copy.bytes)
                except TicketError as error:
                    await _answer(connection, str(error))
                    return
                await self._take(connection, ticket)

    async def _take(self, connection: socket.socket, ticket: Ticket) -> None:
        arrived = False
        try:
            await _answer(connection)
            await _fill(connection, ticket)
            arrived = True
        finally:
            self._tickets.end(ticket, arrived=arrived)
        await _answer(connection)


async def _fill(connection: socket.socket, ticket: Ticket) -> None:
    loop = asyncio.get_running_loop()
    total = ticket.memory.numel()
    memory = ticket.view()
    buffer = memoryview(bytearray(min(total, _PIECE_BYTES))) if memory is None else None
    at = 0
    while at < total:
        end = min(at + _PIECE_BYTES, total)
        place = memory[at:end] if buffer is None else buffer[: end - at]  # type: ignore[index]  # one of them is there
        filled = 0
        while filled < len(place):
            async with asyncio.timeout(_SILENT_SECONDS):
                size = await loop.sock_recv_into(connection, place[filled:])
            if not size or not ticket.wanted:
                raise ConnectionResetError
            filled += size
        if buffer is not None:
            ticket.put(at, place)
        at = end
        # What has come already is taken without waiting, and others are to have their turn.
        await asyncio.sleep(0)


async def _answer(connection: socket.socket, refusal: str = "") -> None:
    message = service_pb2.CopyAnswer(refusal=refusal).SerializeToString()
    async with asyncio.timeout(_SILENT_SECONDS):
        await asyncio.get_running_loop().sock_sendall(connection, len(message).to_bytes(4, "little") + message)


async def _exactly(connection: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        part = await loop.sock_recv(connection, size - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return bytes(data)
