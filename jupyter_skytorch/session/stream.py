"""StreamOperations from the client's side: two threads between a sink and a gRPC call.

The call is a synchronous one on a channel of its own: its round trip is shorter than that of an asyncio call reached
from another thread, and both threads spend their time blocked in C++, without the GIL.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from jupyter_skytorch.device import ConnectError
from skytorch_wire import service_pb2
from skytorch_wire.compression import MAX_INFLATED, Compressor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_skytorch.device import Sink

    from .way import Way

__all__ = ["BROKEN", "End", "NoWayError", "Stream", "begin"]

_METHOD = "/skytorch.torch.Service/StreamOperations"
_IDLE_SECONDS = 1.0
_ATTACH_SECONDS = 10.0

#: What a call ends with when the connection breaks; a server that ends it has other words.
BROKEN = {
    code.value[0]
    for code in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )
}


class _Requests:
    """The call's request iterator: the attach message, then the sink's frames, until the stream is closed."""

    def __init__(self, attach: service_pb2.Attach, sink: Sink) -> None:
        self._attach: service_pb2.Attach | None = attach
        self._sink = sink
        self._begun = threading.Event()
        self._compressor: Compressor | None = None
        self._stream = 0
        self._closed = False

    def __iter__(self) -> _Requests:
        return self

    def __next__(self) -> bytes:
        if self._attach is not None:
            first = service_pb2.StreamRequest(attach=self._attach).SerializeToString()
            self._attach = None
            return first
        # Nothing is taken for a call that may come to nothing: another one would miss it.
        self._begun.wait()
        while not self._closed:
            frame = self._sink.take(_IDLE_SECONDS, self._stream)
            if frame is not None:
                if self._compressor is not None and len(frame) <= MAX_INFLATED:
                    return self._compressor.compress(frame)
                return frame
        raise StopIteration

    def begin(self, stream: int, *, compressed: bool) -> None:
        """The call is attached, as a stream that the sink has numbered: what the sink has may be sent."""
        self._stream = stream
        self._compressor = Compressor() if compressed else None
        self._begun.set()

    def close(self) -> None:
        """Nothing more is sent."""
        self._closed = True
        self._sink.detached(self._stream)
        self._begun.set()


@dataclass(frozen=True)
class End:
    """How a stream ended: whether the connection broke (rather than somebody deciding it), and the server's words."""

    broken: bool
    words: str


def begin(sink: Sink, attached: service_pb2.Attached) -> int:
    """Has the sink send by a new stream what the server lacks; the number that the sink gives to the stream."""
    return sink.attached(attached.executed, attached.received, attached.capabilities.chunk_bytes)


class NoWayError(ConnectError):
    """A way leads nowhere; another one may. The message is one line."""


def _channel(way: Way) -> grpc.Channel:
    if way.encryption is None:
        return grpc.insecure_channel(way.target, options=way.options)
    try:
        credentials = way.encryption.channel_credentials()
    except ValueError as error:
        # Its files may be about to be replaced.
        raise NoWayError(f"TLS can't begin: {error}") from None
    return grpc.secure_channel(way.target, credentials, options=way.options)


class Stream:
    """An attached stream, to be started. `ended` is then called once, on the receiver's thread."""

    def __init__(
        self,
        way: Way,
        attach: service_pb2.Attach,
        sink: Sink,
        *,
        metadata: Sequence[tuple[str, str]],
        ended: Callable[[End], None],
    ) -> None:
        """Connects and attaches.

        Raises NoWayError when there is no server at the end of the way, ConnectError when it doesn't take the session.
        """
        self.way = way
        self._sink = sink
        self._ended = ended
        self._channel = _channel(way)
        self._requests = _Requests(attach, sink)
        start: Any = self._channel.stream_stream(_METHOD, request_serializer=None, response_deserializer=None)
        self._call: Any = start(self._requests, metadata=tuple(metadata))
        self._attached = threading.Event()
        self._failure: End | None = None
        self._started = threading.Event()
        self._answer = service_pb2.Attached()
        self._receiver = threading.Thread(target=self._receive, name="skytorch-receiver", daemon=True)
        self._receiver.start()
        if not self._attached.wait(_ATTACH_SECONDS):
            self._failure = End(broken=True, words="it didn't answer in time")
        if self._failure is not None:
            self.close()
            kind = NoWayError if self._failure.broken else ConnectError
            raise kind(f"the server refused the session's stream: {self._failure.words}")

    def start(self) -> None:
        """Sends what the server doesn't have yet, and what comes."""
        stream = begin(self._sink, self._answer)
        self._requests.begin(stream, compressed=self._answer.compression == service_pb2.COMPRESSION_ZSTD)
        self._started.set()

    def _receive(self) -> None:
        end = End(broken=False, words="it ended the stream")
        try:
            first = service_pb2.StreamResponse.FromString(next(self._call))
            self._answer = first.attached
            self._attached.set()
            self._started.wait()
            for message in self._call:
                self._sink.feed(message)
        except grpc.RpcError as error:
            call: Any = error
            end = End(broken=call.code().value[0] in BROKEN, words=(call.details() or call.code().name).splitlines()[0])
        except Exception as error:  # noqa: BLE001  (what a peer sends can't be allowed to end this thread unsaid)
            end = End(broken=False, words=f"it sent what is no reply: {error}")
        if self._attached.is_set():
            self._ended(end)
        else:
            self._failure = end
            self._attached.set()

    def close(self) -> None:
        """Ends the call; nothing is sent any more."""
        self._requests.close()
        self._started.set()
        self._call.cancel()
        self._channel.close()
