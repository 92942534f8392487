"""Sends tensors to the sessions that expect them, on the executor's thread: at their place in the log."""

from __future__ import annotations

import ctypes
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from skytorch_wire import service_pb2
from skytorch_wire.format import Sent

from .other_server import NoWayError, open_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from skytorch_server.copy_targets import CopyTargets

__all__ = ["Sender"]

# The other session's executor may be at what was issued before it is to expect this.
_ADMITTED_SECONDS = 130.0
# For each piece, and for the word that all of it is there.
_PIECE_SECONDS = 30.0
_PIECE_BYTES = 4 * 1024 * 1024
_ANSWER_BYTES = 4096
_KEPT = 8


class _BrokenError(Exception):
    """A copy came to nothing; the message is one line."""


class _StaleError(Exception):
    """A connection that was kept had ended meanwhile."""


class Sender:
    """Keeps the connections that it makes for what follows."""

    def __init__(self, targets: CopyTargets, audit: Callable[[str, str], None]) -> None:
        """`targets`: where it may connect to. `audit` is told where it has tried to, and what was wrong with it."""
        self._targets = targets
        self._audit = audit
        self._kept: dict[bytes, socket.socket] = {}
        self._connection: socket.socket | None = None
        self._running = 0
        self._cancelled = (1, 0)

    def send(self, sequence: int, ticket: int, secret: bytes, destination: bytes, data: torch.Tensor) -> bytes:
        """Sends bytes to where a serialized CopyDestination says; a :class:`.Sent`, and in words why."""
        self._running = sequence
        try:
            self._send(service_pb2.Copy(ticket=ticket, secret=secret, bytes=data.numel()), destination, data)
        except NoWayError as error:
            return bytes([Sent.NO_WAY]) + str(error).encode()
        except (_BrokenError, _StaleError, OSError) as error:
            return bytes([Sent.BROKEN]) + str(error).encode()
        finally:
            self._running = 0
            self._connection = None
        return bytes([Sent.ARRIVED])

    def interrupt(self, first: int, last: int) -> None:
        """Breaks off the copy of a record in [first, last], now or when it is its turn. Called from any thread."""
        self._cancelled = (first, last)
        connection = self._connection
        if first <= self._running <= last and connection is not None:
            with suppress(OSError):
                # Of the connection: that of an SSLSocket would have a word with the other end first.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _send(self, copy: service_pb2.Copy, destination: bytes, data: torch.Tensor) -> None:
        kept = self._kept.pop(destination, None)
        if kept is not None:
            with suppress(_StaleError):
                return self._send_by(kept, copy, destination, data, kept=True)
        try:
            where = service_pb2.CopyDestination.FromString(destination)
        except DecodeError:
            raise NoWayError("where it is to go can't be read") from None
        return self._send_by(self._open(where), copy, destination, data, kept=False)

    def _open(self, where: service_pb2.CopyDestination) -> socket.socket:
        place = f"{where.host[:253]}:{where.port}" if where.host else "a socket"
        try:
            connection = open_connection(where, self._targets, self._note)
        except NoWayError as error:
            self._audit(place, str(error))
            raise
        self._audit(place, "")
        return connection

    def _note(self, connection: socket.socket) -> None:
        self._connection = connection

    def _send_by(
        self, connection: socket.socket, copy: service_pb2.Copy, destination: bytes, data: torch.Tensor, *, kept: bool
    ) -> None:
        whole = False
        try:
            self._connection = connection
            first, last = self._cancelled
            if first <= self._running <= last:
                raise _BrokenError("cancelled by an interrupt")
            message = copy.SerializeToString()
            try:
                connection.settimeout(_ADMITTED_SECONDS)
                connection.sendall(len(message).to_bytes(4, "little") + message)
                _expect_answer(connection)
            except OSError:
                if kept:
                    raise _StaleError from None
                raise
            connection.settimeout(_PIECE_SECONDS)
            for piece in _pieces(data):
                connection.sendall(piece)
            _expect_answer(connection)
            whole = True
        except TimeoutError:
            raise _BrokenError("the other server doesn't go on") from None
        except OSError as error:
            raise _BrokenError(f"the connection between the servers broke: {error.strerror or error}") from None
        finally:
            if whole:
                self._keep(destination, connection)
            else:
                connection.close()

    def _keep(self, destination: bytes, connection: socket.socket) -> None:
        while len(self._kept) >= _KEPT:
            self._kept.pop(next(iter(self._kept))).close()
        self._kept[destination] = connection


def _pieces(data: torch.Tensor) -> Iterator[memoryview]:
    for at in range(0, data.numel(), _PIECE_BYTES):
        piece = data[at : at + _PIECE_BYTES].cpu()
        # Of this piece's own memory, which it keeps until the next one is asked for.
        yield memoryview((ctypes.c_char * piece.numel()).from_address(piece.data_ptr())).cast("B")


def _expect_answer(connection: socket.socket) -> None:
    size = int.from_bytes(_exactly(connection, 4), "little")
    if size > _ANSWER_BYTES:
        raise _BrokenError("the other server sent no answer")
    try:
        answer = service_pb2.CopyAnswer.FromString(_exactly(connection, size))
    except DecodeError:
        raise _BrokenError("the other server sent no answer") from None
    if answer.refusal:
        raise _BrokenError(answer.refusal)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("it ended")
        data += part
    return data
