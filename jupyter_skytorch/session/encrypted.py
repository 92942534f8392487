"""TLS between a stream and its server: what the stream writes in clear to a socket of this process goes out encrypted.

The stream's threads are C++ and take a file descriptor; Python's ssl module holds the keys. So the stream gets one end
of a pair of sockets, and a thread passes bytes on between the other end and the server, both ways.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading

__all__ = ["passed_on"]

_PIECE = 256 * 1024
_CLOSED = select.POLLHUP | select.POLLERR
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def passed_on(server: ssl.SSLSocket) -> socket.socket:
    """A socket through which all goes to `server`, which is taken over; closing it ends both."""
    ours, theirs = socket.socketpair()
    threading.Thread(target=_pass_on, args=(theirs, server), name="skytorch-tls", daemon=True).start()
    return ours


def _pass_on(stream: socket.socket, server: ssl.SSLSocket) -> None:
    with stream, server:
        stream.setblocking(False)
        server.setblocking(False)
        ways = _Way(stream, server), _Way(server, stream)
        # What breaks here is seen by the stream as a connection that is closed.
        with contextlib.suppress(OSError):
            while not all(way.ended for way in ways):
                for way in ways:
                    way.pass_on()
                if not any(way.again for way in ways) and not _await(*ways):
                    break
        # The reader of the other end is not left waiting.
        with contextlib.suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)


def _await(up: _Way, down: _Way) -> bool:
    """Waits until something can be passed on; False when the stream is closed."""
    poll = select.poll()
    poll.register(up.source, up.reading | down.writing)
    # One that is closed both ways would end every wait at once, also while nothing is wanted of it.
    if events := down.reading | up.writing:
        poll.register(down.source, events)
    stream = up.source.fileno()
    return not any(handle == stream and happened & _CLOSED for handle, happened in poll.poll())


class _Way:
    """One direction."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.ended = False
        self.again = False
        """Whether there may be more at once, of which no event tells."""
        self._buffer = bytearray(_PIECE)
        self._held = memoryview(b"")

    @property
    def reading(self) -> int:
        return 0 if self._held or self.ended else select.POLLIN

    @property
    def writing(self) -> int:
        return select.POLLOUT if self._held else 0

    def pass_on(self) -> None:
        """Sends what was received, or receives something and sends it, as far as it goes. Raises OSError."""
        self.again = False
        if self.ended:
            return
        try:
            if not self._held and not self._receive():
                self.ended = True
                # Of the connection itself: an SSLSocket's own would forget how to decrypt what still comes.
                socket.socket.shutdown(self.target, socket.SHUT_WR)
                return
            while self._held:
                self._held = self._held[self.target.send(self._held) :]
        except _WOULD_BLOCK:
            return
        self.again = isinstance(self.source, ssl.SSLSocket) and self.source.pending() > 0

    def _receive(self) -> int:
        size = self.source.recv_into(self._buffer)
        # TLS gives 16 KiB at a time.
        while isinstance(self.source, ssl.SSLSocket) and 0 < size < _PIECE // 2:
            try:
                more = self.source.recv_into(memoryview(self._buffer)[size:])
            except _WOULD_BLOCK:
                break
            if not more:
                break  # it is told again
            size += more
        self._held = memoryview(self._buffer)[:size]
        return size
