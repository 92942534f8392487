"""Sessions that copy, as their clients and other servers speak to them."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from skytorch_wire import service_pb2
from skytorch_wire.format import Sent
from skytorch_wire.records import View, Writer
from skytorch_wire.replies import ErrorReply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client, Stream

SIZE = 5_000_011
DATA = random.Random(0).randbytes(SIZE)
SECRET = bytes(range(32))
VIEW = View(1, "uint8", [SIZE])
SECONDS = 20.0


class Session:
    """A session with an attached stream, and what it answers."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.created = client.create()
        self.stream: Stream = client.stream(self.created)
        self.stream.response()
        self.answers: Iterator[Any] = self.stream.replies()
        self.send(Writer().define_device(0, "cpu", 0), 1)

    @property
    def intake_socket(self) -> str:
        return next(endpoint.intake for endpoint in self.created.endpoints if endpoint.address)

    @property
    def intake(self) -> str:
        return next(endpoint.intake for endpoint in self.created.endpoints if not endpoint.address)

    def send(self, records: Writer, count: int) -> int:
        """The number of the last record."""
        self.stream.send(records.take(), count)
        return self.stream.sequence

    def expect(self, ticket: int = 1, size: int = SIZE, seconds: int = 60, secret: bytes = SECRET) -> None:
        self.send(Writer().expect(ticket, 0, size, seconds, secret), 1)

    def hold(self) -> None:
        """Has the data in storage 1."""
        self.send(Writer().ensure(VIEW, 0).write(1, 0, DATA), 2)

    def bring(self, destination: service_pb2.CopyDestination, ticket: int = 1, secret: bytes = SECRET) -> Any:
        """What comes of sending storage 1."""
        self.send(Writer().send(ticket, secret, destination.SerializeToString(), VIEW), 1)
        reply = next(self.answers)
        return reply if isinstance(reply, ErrorReply) else (Sent(reply.data[0]), reply.data[1:].decode())

    def received(self, ticket: int = 1, storage: int = 7) -> bytes | str:
        """What came by a ticket, or why nothing did."""
        size = SIZE
        parcel = self.send(Writer().receive(ticket), 1)
        view = View(storage, "uint8", [size])
        self.send(Writer().adopt(parcel, 0, view).drop_parcel(parcel).read(view).free(storage), 4)
        data = b""
        while len(data) < size:
            reply = next(self.answers)
            if isinstance(reply, ErrorReply):
                if reply.answers:
                    return reply.message
                continue
            data += reply.data
        return data

    def works(self) -> bool:
        view = View(99, "uint8", [3])
        self.send(Writer().ensure(view, 0).write(99, 0, b"abc").read(view).free(99), 4)
        reply = next(self.answers)
        while isinstance(reply, ErrorReply):
            reply = next(self.answers)
        return bool(reply.data == b"abc")


class Bringer:
    """Whoever brings a tensor, at a session's intake."""

    def __init__(self, session: Session) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(session.intake_socket)

    def say(self, ticket: int = 1, secret: bytes = SECRET, size: int = SIZE) -> str | None:
        """The refusal; None when the other end hung up."""
        message = service_pb2.Copy(ticket=ticket, secret=secret, bytes=size).SerializeToString()
        self.put(len(message).to_bytes(4, "little") + message)
        return self.answer()

    def put(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def answer(self) -> str | None:
        head = self.read(4)
        if head is None:
            return None
        body = self.read(int.from_bytes(head, "little"))
        return None if body is None else service_pb2.CopyAnswer.FromString(body).refusal

    def read(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                part = self.socket.recv(size - len(data))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return data


def at(session: Session, **fields: Any) -> service_pb2.CopyDestination:
    return service_pb2.CopyDestination(socket=session.intake_socket, **fields)
