"""The stream over a plain socket: the messages of StreamOperations, to a server on this machine or through its port.

Both of its threads spend their time in C++, without the GIL, so that an answer comes in the time that it takes to wake
them: gRPC from Python needs some 200 µs for it. Where frames are compressed, the sender is Python's: over a network its
few microseconds don't count.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from jupyter_skytorch.device import ConnectError
from skytorch_wire import service_pb2
from skytorch_wire.compression import MAX_INFLATED, Compressor

from .stream import BROKEN, End, NoWayError, begin
from .tunnel import open_socket

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_skytorch.device import Sink

    from .way import Way

__all__ = ["LocalStream"]

_ATTACH_SECONDS = 10.0
_IDLE_SECONDS = 1.0
_HEAD_BYTES = 4


class LocalStream:
    """An attached stream, to be started. `ended` is then called once, on the receiver's thread."""

    def __init__(self, way: Way, attach: service_pb2.Attach, sink: Sink, *, ended: Callable[[End], None]) -> None:
        """Connects and attaches.

        Raises NoWayError when there is no server at the end of the way, ConnectError when it doesn't take the session.
        """
        self.way = way
        self._sink = sink
        self._ended = ended
        self._socket = open_socket(way)
        try:
            self._socket.settimeout(_ATTACH_SECONDS)
            self._send(service_pb2.StreamRequest(attach=attach).SerializeToString())
            size = int.from_bytes(self._exactly(_HEAD_BYTES), "little")
            answer = service_pb2.StreamResponse.FromString(self._exactly(size))
        except OSError as error:
            self._socket.close()
            raise NoWayError(f"the server refused the session's stream: {error.strerror or error}") from None
        if not answer.HasField("attached"):
            self._socket.close()
            raise ConnectError(f"the server refused the session's stream: {answer.ended.message}")
        self._socket.settimeout(None)
        self._answer = answer.attached
        self._stream = 0
        self._closed = False
        self._sender = threading.Thread(target=self._send_frames, name="skytorch-sender", daemon=True)

    def start(self) -> None:
        """Sends what the server doesn't have yet, and what comes."""
        self._stream = begin(self._sink, self._answer)
        self._sender.start()
        threading.Thread(target=self._receive, name="skytorch-receiver", daemon=True).start()

    def _send(self, message: bytes) -> None:
        self._socket.sendall(len(message).to_bytes(_HEAD_BYTES, "little") + message)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError("it closed the connection")
            data += part
        return bytes(data)

    def _send_frames(self) -> None:
        if self._answer.compression == service_pb2.COMPRESSION_ZSTD:
            # A socket that broke is noticed by the receiver.
            with contextlib.suppress(OSError):
                self._send_compressed(Compressor())
        else:
            self._sink.send_to(self._socket.fileno(), self._stream)

    def _send_compressed(self, compressor: Compressor) -> None:
        while not self._closed:
            frame = self._sink.take(_IDLE_SECONDS, self._stream)
            if frame is not None:
                self._send(compressor.compress(frame) if len(frame) <= MAX_INFLATED else frame)

    def _receive(self) -> None:
        end = self._receive_all()
        # Not closed before: the sender may still look at it, and its number is soon somebody else's.
        self.close()
        self._sender.join()
        self._socket.close()
        self._ended(end)

    def _receive_all(self) -> End:
        try:
            last = service_pb2.Ended.FromString(self._sink.receive_from(self._socket.fileno()))
        except Exception as error:  # noqa: BLE001  (what a peer sends can't be allowed to end this thread unsaid)
            return End(broken=False, words=f"it sent what is no reply: {error}")
        # Without a last word the process is gone, or about to be.
        broken = not last.message or last.code in BROKEN
        return End(broken=broken, words=last.message or "it closed the connection")

    def close(self) -> None:
        """Ends the stream; nothing is sent any more."""
        self._closed = True
        self._sink.detached(self._stream)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
