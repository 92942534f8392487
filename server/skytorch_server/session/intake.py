"""Where other servers bring tensors: a socket of the session's own, which takes what there is a ticket for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from skytorch_wire import service_pb2

from .tickets import TicketError
from .unix_socket import Listener, NoMessageError, receive, send

if TYPE_CHECKING:
    import socket

    from .spec import SessionSpec
    from .tickets import Ticket, Tickets

__all__ = ["Intake"]

# A tensor that is refused comes by its client instead.
_CONNECTIONS = 32
_COPY_BYTES = 1024
# A sender keeps its connection for the next tensor.
_IDLE_SECONDS = 60.0
# Without a byte of a tensor that has begun.
_SILENT_SECONDS = 30.0
_PIECE_BYTES = 4 * 1024 * 1024


class Intake:
    """Listens until closed."""

    def __init__(self, spec: SessionSpec, tickets: Tickets) -> None:
        """Listens. Anybody may come in who knows the name of the session's intake: tickets are what counts."""
        self._tickets = tickets
        self._listener = Listener(spec.intake_socket, self._serve, most=_CONNECTIONS)

    def close(self) -> None:
        """Takes no more connections; those that are open end with the process."""
        self._listener.close()

    async def _serve(self, connection: socket.socket) -> None:
        with suppress(DecodeError, NoMessageError):
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    copy = service_pb2.Copy.FromString(await receive(connection, _COPY_BYTES))
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
    async with asyncio.timeout(_SILENT_SECONDS):
        await send(connection, service_pb2.CopyAnswer(refusal=refusal).SerializeToString())
