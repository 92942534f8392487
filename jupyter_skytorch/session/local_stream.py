"""The stream to a server on this machine: the messages of StreamOperations over a Unix socket.

Both of its threads spend their time in C++, without the GIL, so that an answer comes in the time that it takes to wake
them: gRPC from Python needs some 200 µs for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import grpc

from jupyter_skytorch.device import ConnectError
from skytorch_wire import service_pb2

from .stream import End

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_skytorch.device import Sink

__all__ = ["LocalStream"]

_ATTACH_SECONDS = 10.0
_HEAD_BYTES = 4
_BROKEN = {grpc.StatusCode.UNAVAILABLE.value[0], grpc.StatusCode.CANCELLED.value[0]}


class LocalStream:
    """An attached stream. `ended` is called once, on the receiver's thread."""

    def __init__(self, path: str, attach: service_pb2.Attach, sink: Sink, *, ended: Callable[[End], None]) -> None:
        """Connects and attaches. Raises ConnectError when the server doesn't take the session."""
        self._sink = sink
        self._ended = ended
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_ATTACH_SECONDS)
            self._socket.connect(path)
            self._send(service_pb2.StreamRequest(attach=attach).SerializeToString())
            size = int.from_bytes(self._exactly(_HEAD_BYTES), "little")
            answer = service_pb2.StreamResponse.FromString(self._exactly(size))
        except OSError as error:
            self._socket.close()
            raise ConnectError(f"the server refused the session's stream: {error.strerror or error}") from None
        if not answer.HasField("attached"):
            self._socket.close()
            raise ConnectError(f"the server refused the session's stream: {answer.ended.message}")
        self._socket.settimeout(None)
        self._sink.start(answer.attached.executed, answer.attached.capabilities.chunk_bytes)
        self._sender = threading.Thread(target=self._send_frames, name="skytorch-sender", daemon=True)
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
        self._sink.send_to(self._socket.fileno())

    def _receive(self) -> None:
        self._ended(self._receive_all())
        # Not closed before: the sender may still look at it, and its number is soon somebody else's.
        self.close()
        self._sender.join()
        self._socket.close()

    def _receive_all(self) -> End:
        try:
            last = service_pb2.Ended.FromString(self._sink.receive_from(self._socket.fileno()))
        except Exception as error:  # noqa: BLE001  (what a peer sends can't be allowed to end this thread unsaid)
            return End(broken=False, words=f"it sent what is no reply: {error}")
        # Without a last word the process is gone, or about to be.
        broken = not last.message or last.code in _BROKEN
        return End(broken=broken, words=last.message or "it closed the connection")

    def close(self) -> None:
        """Ends the stream; the sink is to be stopped before."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
