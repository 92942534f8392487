"""Two sockets, of which each is sent what the other one receives."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from .sockets import WOULD_BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable

# Shared by all, because nothing stays in it: what one receives is sent, or copied, before another one receives.
_buffer = memoryview(bytearray(512 * 1024))

# A way that has received so much at once gets a pipe, through which the kernel passes pages on instead of copying them:
# a third of the processor time. It costs two descriptors, so ways of small messages have none.
_LARGE = 64 * 1024
# What came through TLS is collected up to this, because each call costs.
_TOGETHER = 256 * 1024
_PIPE_BYTES = 1024 * 1024
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
# Kernels that aren't Linux's may know no splice() between sockets.
_CANNOT = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class Splice:
    """A pair of connected sockets, which it owns. `closed` is told when both are closed."""

    def __init__(self, one: socket.socket, other: socket.socket, closed: Callable[[Splice], object]) -> None:
        self._sockets = one, other
        self._closed = closed
        self._ways = _Way(self, one, other), _Way(self, other, one)

    def start(self, received: bytes) -> None:
        """Begins. `received` came from the first socket already."""
        self._ways[0].start(received)
        self._ways[1].start(b"")

    def close(self) -> None:
        """Closes both, at once."""
        for way in self._ways:
            way.stop()
        for connection in self._sockets:
            connection.close()
        self._closed(self)

    def way_ended(self) -> None:
        """One of the ways has passed on its last byte."""
        if all(way.ended for way in self._ways):
            self.close()


class _Way:
    """One direction. At any time it waits to receive, or to send what it received."""

    def __init__(self, splice: Splice, source: socket.socket, target: socket.socket) -> None:
        self.ended = False
        self._splice = splice
        self._source = source
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._held = memoryview(b"")
        self._pipe: tuple[int, int] | None = None
        self._piped = 0
        # Bytes that are to be encrypted or decrypted have to come here.
        self._may_pipe = not (isinstance(source, ssl.SSLSocket) or isinstance(target, ssl.SSLSocket))
        self._sending = False

    def start(self, received: bytes) -> None:
        self._loop.add_reader(self._source, self._receive)
        if received:
            self._held = memoryview(received)
            self._send()
        self._look_again()

    def stop(self) -> None:
        if not self.ended:
            self._loop.remove_reader(self._source)
            self._loop.remove_writer(self._target)
            self._drop_pipe()
            self.ended = True

    def _receive(self) -> None:
        try:
            size = self._receive_by_pipe() if self._pipe else self._receive_by_copy()
        except WOULD_BLOCK:
            return
        except OSError:
            self._splice.close()
            return
        if size:
            self._send()
            self._look_again()
            return
        # No more will come this way; the other one may go on.
        self.stop()
        try:
            # Of the connection: that of an SSLSocket would also forget how to decrypt what still comes the other way.
            socket.socket.shutdown(self._target, socket.SHUT_WR)
        except OSError:
            self._splice.close()
            return
        self._splice.way_ended()

    def _receive_by_copy(self) -> int:
        size = self._source.recv_into(_buffer)
        # TLS gives 16 KiB at a time.
        while isinstance(self._source, ssl.SSLSocket) and 0 < size < _TOGETHER:
            try:
                more = self._source.recv_into(_buffer[size:])
            except WOULD_BLOCK:
                break
            if not more:
                break  # it is told again
            size += more
        self._held = _buffer[:size]
        if size >= _LARGE and self._may_pipe:
            self._may_pipe = False
            with suppress(OSError):  # without descriptors to spare, it goes on as before
                self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
                fcntl.fcntl(self._pipe[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return size

    def _receive_by_pipe(self) -> int:
        assert self._pipe is not None  # noqa: S101
        try:
            self._piped = os.splice(self._source.fileno(), self._pipe[1], _PIPE_BYTES, flags=_FLAGS)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            self._drop_pipe()
            return self._receive_by_copy()
        return self._piped

    def _send(self) -> None:
        """Sends what there is; what isn't taken waits, and nothing is received meanwhile."""
        try:
            while self._held:
                self._held = self._held[self._target.send(self._held) :]
            while self._piped:
                self._send_by_pipe()
        except WOULD_BLOCK:
            self._held = memoryview(bytes(self._held))  # the buffer is for others now
            if not self._sending:
                self._sending = True
                self._loop.remove_reader(self._source)
                self._loop.add_writer(self._target, self._send)
        except OSError:
            self._splice.close()
        else:
            if self._sending:
                self._sending = False
                self._loop.remove_writer(self._target)
                self._loop.add_reader(self._source, self._receive)
                self._look_again()

    def _look_again(self) -> None:
        """What is decrypted already is not announced by the socket."""
        if isinstance(self._source, ssl.SSLSocket) and not (self.ended or self._sending) and self._source.pending():
            self._loop.call_soon(self._receive_more)

    def _receive_more(self) -> None:
        if not (self.ended or self._sending):
            self._receive()

    def _send_by_pipe(self) -> None:
        assert self._pipe is not None  # noqa: S101
        try:
            self._piped -= os.splice(self._pipe[0], self._target.fileno(), self._piped, flags=_FLAGS)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            held = memoryview(os.read(self._pipe[0], self._piped))
            self._piped = 0
            self._drop_pipe()
            while held:
                # What isn't taken is kept by the caller.
                self._held = held
                held = held[self._target.send(held) :]
            self._held = held

    def _drop_pipe(self) -> None:
        if self._pipe is not None:
            for end in self._pipe:
                os.close(end)
            self._pipe = None
