"""Compressed requests: the same as others, and what bad ones cost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import PROTOCOL_VERSION, service_pb2
from skytorch_wire.compression import COMPRESSED, Compressor
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from conftest import Client, ServerProcess, Stream

    from skytorch_wire import sessions_pb2

INVALID = grpc.StatusCode.INVALID_ARGUMENT
ZSTD = service_pb2.COMPRESSION_ZSTD
CAPABILITIES = service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION, compressions=[ZSTD])


@pytest.fixture
def created(alice: Client) -> sessions_pb2.CreateSessionResponse:
    return alice.create()


@pytest.fixture(params=["relayed", "tunnelled"])
def client(request: pytest.FixtureRequest, alice: Client, server: ServerProcess) -> Client:
    """Alice, through the port in both ways."""
    if request.param == "tunnelled":
        alice.local, alice.door = True, server.target
    return alice


@pytest.fixture
def stream(client: Client, created) -> Stream:
    stream = client.stream(created, capabilities=CAPABILITIES)
    attached = stream.response().attached
    assert attached.compression == ZSTD
    assert ZSTD in attached.capabilities.compressions
    return stream


def frame(first: int, records: bytes) -> bytes:
    return service_pb2.StreamRequest(first_sequence=first, records=records).SerializeToString()


def send(stream: Stream, message: bytes) -> None:
    stream._requests.put(service_pb2.StreamRequest.FromString(message))


VIEW = View(5, "uint8", [4])
#: Four records: a device, a storage, its bytes, and a read of these.
BEGIN = Writer().define_device(0, "cpu", 0).ensure(VIEW, 0).write(5, 0, b"abcd").read(VIEW).take()
READ = Writer().read(VIEW).take()


def test_compressed_and_plain_requests_make_one_log(stream: Stream) -> None:
    compressor = Compressor()
    send(stream, compressor.compress(frame(1, BEGIN)))
    send(stream, frame(5, Writer().write(5, 0, b"efgh").take()))
    send(stream, compressor.compress(frame(6, READ)))
    replies = stream.replies()
    assert [next(replies).data for _ in range(2)] == [b"abcd", b"efgh"]


def bomb(size: int) -> bytes:
    return Compressor().compress(frame(5, bytes(size)))


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (bomb(1 << 20), "inflates past"),
        (bomb(512 << 20), "inflates past"),
        (service_pb2.StreamRequest(compressed=b"anything").SerializeToString(), "zstd"),
        (bytes([COMPRESSED, 0]), "record 0 came where 5 was due"),
        (Compressor().compress(bytes([COMPRESSED, 0])), "carries nothing else"),
        (Compressor().compress(b"\xff\xff\xff"), ""),
        (service_pb2.StreamRequest(first_sequence=5, compressed=b"x").SerializeToString(), "carries nothing else"),
    ],
    ids=["over", "far over", "no zstd", "empty", "twice", "no frame", "two things"],
)
def test_a_bad_one_ends_the_stream_and_is_not_executed(
    client: Client, alice: Client, created, stream: Stream, refused, message: bytes, complaint: str
) -> None:
    send(stream, frame(1, BEGIN))
    assert next(stream.replies()).data == b"abcd"
    before = peak(created.session.pid)

    send(stream, message)
    with refused(INVALID, complaint):
        for _ in stream.call:
            pass

    assert peak(created.session.pid) - before < 16 << 20
    stats = alice.get(created.session.session_id).stats
    assert (stats.executed, stats.storages, stats.storage_bytes) == (4, 1, 4)
    again = client.stream(created, epoch=2, capabilities=CAPABILITIES)
    assert again.response().attached.executed == 4
    # A new stream has a new context.
    send(again, Compressor().compress(frame(5, READ)))
    assert next(again.replies()).data == b"abcd"


def test_where_none_was_agreed_on_a_compressed_request_is_malformed(
    client: Client, alice: Client, created, refused
) -> None:
    stream = client.stream(created)
    assert stream.response().attached.compression == service_pb2.COMPRESSION_NONE
    send(stream, Compressor().compress(frame(1, BEGIN)))
    with refused(INVALID, "no compression"):
        for _ in stream.call:
            pass
    assert alice.get(created.session.session_id).stats.executed == 0


def peak(pid: int) -> int:
    """The most memory that a process has had resident, in bytes."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024
