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

__all__ = ["End", "NoWayError", "Stream"]

_METHOD = "/skytorch.torch.Service/StreamOperations"
_IDLE_SECONDS = 1.0
_ATTACH_SECONDS = 10.0


class _Requests:
    """The call's request iterator: the attach message, then the sink's frames, until the stream is closed."""

    def __init__(self, attach: service_pb2.Attach, sink: Sink) -> None:
        self._attach: service_pb2.Attach | None = attach
        self._sink = sink
        self._begun = threading.Event()
        self._compressor: Compressor | None = None
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
            frame = self._sink.take(_IDLE_SECONDS)
            if frame is not None:
                if self._compressor is not None and len(frame) <= MAX_INFLATED:
                    return self._compressor.compress(frame)
                return frame
        raise StopIteration

    def begin(self, *, compressed: bool) -> None:
        """The call is attached: what the sink has may be sent."""
        self._compressor = Compressor() if compressed else None
        self._begun.set()

    def close(self) -> None:
        """Nothing more is sent."""
        self._closed = True
        self._begun.set()


@dataclass(frozen=True)
class End:
    """How a stream ended: whether the connection broke (rather than somebody deciding it), and the server's words."""

    broken: bool
    words: str


class NoWayError(ConnectError):
    """A way leads nowhere; another one may. The message is one line."""


class Stream:
    """An attached stream. `ended` is called once, on the receiver's thread."""

    def __init__(
        self,
        way: Way,
        attach: service_pb2.Attach,
        sink: Sink,
        *,
        metadata: Sequence[tuple[str, str]],
        credentials: grpc.ChannelCredentials | None,
        ended: Callable[[End], None],
    ) -> None:
        """Connects and attaches.

        Raises NoWayError when there is no server at the end of the way, ConnectError when it doesn't take the session.
        """
        self.way = way
        self._sink = sink
        self._ended = ended
        self._channel = (
            grpc.secure_channel(way.target, credentials, options=way.options)
            if credentials
            else grpc.insecure_channel(way.target, options=way.options)
        )
        self._requests = _Requests(attach, sink)
        start: Any = self._channel.stream_stream(_METHOD, request_serializer=None, response_deserializer=None)
        self._call: Any = start(self._requests, metadata=tuple(metadata))
        self._attached = threading.Event()
        self._failure: End | None = None
        self.attached = service_pb2.Attached()
        self._receiver = threading.Thread(target=self._receive, name="skytorch-receiver", daemon=True)
        self._receiver.start()
        if not self._attached.wait(_ATTACH_SECONDS):
            self._failure = End(broken=True, words="it didn't answer in time")
        if self._failure is not None:
            self.close()
            kind = NoWayError if self._failure.broken else ConnectError
            raise kind(f"the server refused the session's stream: {self._failure.words}")

    def _receive(self) -> None:
        end = End(broken=False, words="it ended the stream")
        try:
            first = service_pb2.StreamResponse.FromString(next(self._call))
            self.attached = first.attached
            self._sink.start(first.attached.executed, first.attached.capabilities.chunk_bytes)
            self._requests.begin(compressed=first.attached.compression == service_pb2.COMPRESSION_ZSTD)
            self._attached.set()
            for message in self._call:
                self._sink.feed(message)
        except grpc.RpcError as error:
            call: Any = error
            broken = call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
            end = End(broken=broken, words=(call.details() or call.code().name).splitlines()[0])
        except Exception as error:  # noqa: BLE001  (what a peer sends can't be allowed to end this thread unsaid)
            end = End(broken=False, words=f"it sent what is no reply: {error}")
        if self._attached.is_set():
            self._ended(end)
        else:
            self._failure = end
            self._attached.set()

    def close(self) -> None:
        """Ends the call; the sink is to be stopped before."""
        self._requests.close()
        self._call.cancel()
        self._channel.close()
