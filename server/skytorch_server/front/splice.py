"""Two sockets, of which each is sent what the other one receives."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Shared by all, because nothing stays in it: what one receives is sent, or copied, before another one receives.
_buffer = memoryview(bytearray(512 * 1024))


class Splice:
    """A pair of connected sockets, which it owns. `closed` is told when both are closed."""

    def __init__(self, one: socket.socket, other: socket.socket, closed: Callable[[Splice], None]) -> None:
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

    def start(self, received: bytes) -> None:
        self._loop.add_reader(self._source, self._pass_on)
        if received:
            self._send(memoryview(received))

    def stop(self) -> None:
        if not self.ended:
            self._loop.remove_reader(self._source)
            self._loop.remove_writer(self._target)
            self.ended = True

    def _pass_on(self) -> None:
        try:
            size = self._source.recv_into(_buffer)
        except BlockingIOError:
            return None
        except OSError:
            return self._splice.close()
        if size:
            return self._send(_buffer[:size])
        # No more will come this way; the other one may go on.
        self.stop()
        try:
            self._target.shutdown(socket.SHUT_WR)
        except OSError:
            return self._splice.close()
        return self._splice.way_ended()

    def _send(self, data: memoryview) -> None:
        try:
            sent = self._target.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return self._splice.close()
        if sent == len(data):
            if self._held:
                self._held = memoryview(b"")
                self._loop.remove_writer(self._target)
                self._loop.add_reader(self._source, self._pass_on)
            return None
        if not self._held:
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._target, self._send_held)
            data = memoryview(bytes(data))  # the buffer is for others now
            self._held = data[sent:]
        else:
            self._held = data[sent:]
        return None

    def _send_held(self) -> None:
        self._send(self._held)
