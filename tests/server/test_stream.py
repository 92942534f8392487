"""StreamOperations: who may attach, what goes through, and what bad bytes cost."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import PROTOCOL_VERSION, service_pb2
from skytorch_wire.format import Memory, Record, Value
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from conftest import Client, Connect, ServerProcess, Stream

    from skytorch_wire import sessions_pb2

INVALID = grpc.StatusCode.INVALID_ARGUMENT
CPU = Writer().define_device(0, "cpu", 0).take()


def _reach(way: str, alice: Client, connect: Connect) -> Client:
    alice.created = alice.create()
    if way == "relayed":
        return alice
    direct = connect(alice.created.endpoints[0].address)
    direct.created = alice.created
    direct.local = way in {"local", "tunnelled"}
    return direct


@pytest.fixture(params=["relayed", "direct", "local", "tunnelled"])
def client(request: pytest.FixtureRequest, alice: Client, connect: Connect, server: ServerProcess) -> Client:
    """Alice, at the front's port, at the session's own socket, at its local one, or at this through the port."""
    client = _reach(request.param, alice, connect)
    client.door = server.target if request.param == "tunnelled" else ""
    return client


@pytest.fixture(params=["relayed", "direct"])
def grpc_client(request: pytest.FixtureRequest, alice: Client, connect: Connect) -> Client:
    return _reach(request.param, alice, connect)


@pytest.fixture
def created(client: Client) -> sessions_pb2.CreateSessionResponse:
    return client.created


@pytest.fixture
def stream(client: Client, created: sessions_pb2.CreateSessionResponse) -> Stream:
    stream = client.stream(created)
    stream.response()
    return stream


def test_the_first_answer_tells_where_the_session_stands(client: Client, created) -> None:
    attached = client.stream(created, epoch=7).response().attached
    assert (attached.epoch, attached.boot_id, attached.executed) == (7, created.boot_id, 0)
    assert attached.capabilities == created.capabilities
    assert attached.compression == service_pb2.COMPRESSION_NONE


@pytest.mark.parametrize(
    ("fields", "code", "complaint"),
    [
        ({"attach_secret": b"guess"}, grpc.StatusCode.PERMISSION_DENIED, "secret"),
        ({"attach_secret": b""}, grpc.StatusCode.PERMISSION_DENIED, "secret"),
        ({"session_id": "another"}, grpc.StatusCode.NOT_FOUND, "no session 'another'"),
        ({"boot_id": "another"}, grpc.StatusCode.FAILED_PRECONDITION, "restarted"),
        ({"epoch": 0}, grpc.StatusCode.FAILED_PRECONDITION, "epoch 0"),
        (
            {"capabilities": service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION + 1)},
            grpc.StatusCode.FAILED_PRECONDITION,
            "protocol version",
        ),
    ],
)
def test_only_the_session_s_own_client_attaches(client: Client, created, refused, fields, code, complaint) -> None:
    with refused(code, complaint):
        client.stream(created, **fields).response()


def test_a_stream_begins_with_attach(grpc_client: Client, refused) -> None:
    client = grpc_client
    for first in (service_pb2.StreamRequest(first_sequence=1, records=CPU), service_pb2.StreamRequest()):
        with refused(INVALID, "attach"):
            next(client.torch.StreamOperations(iter([first]), metadata=client.metadata, timeout=60))
    with refused(INVALID):
        next(client.torch.StreamOperations(iter([]), metadata=client.metadata, timeout=60))
    raw = client.channel.stream_stream("/skytorch.torch.Service/StreamOperations")
    with refused(INVALID):
        next(raw(iter([b"\x0a\xff\xff\xff\xff\x7f"]), metadata=client.metadata, timeout=60))


def test_what_is_written_is_read_in_order(stream: Stream) -> None:
    view = View(1, "uint8", [3])
    records = Writer().define_device(0, "cpu", 0).ensure(view, 0)
    for number in range(1, 4):
        records.write(1, 0, bytes([number] * 3)).read(view)
    stream.send(records.take(), 8)
    replies = stream.replies()
    assert [(reply.sequence, reply.data) for reply in (next(replies), next(replies), next(replies))] == [
        (4, b"\x01\x01\x01"),
        (6, b"\x02\x02\x02"),
        (8, b"\x03\x03\x03"),
    ]


def test_large_data_travels_in_chunks_both_ways(stream: Stream) -> None:
    size, chunk = 40 << 20, 1 << 20
    view = View(1, "uint8", [size])
    stream.send(Writer().define_device(0, "cpu", 0).ensure(view, 0).take(), 2)
    payload = random.Random(0).randbytes(chunk)
    for start in range(0, size, chunk):
        stream.send(Writer().write(1, start, payload).take(), 1)
    stream.send(Writer().read(view).take(), 1)
    received = 0
    for reply in stream.replies():
        assert (reply.offset, reply.total) == (received, size)
        assert len(reply.data) <= chunk
        assert reply.data == payload
        received += len(reply.data)
        if received == size:
            break


def test_a_client_that_has_sent_everything_still_gets_its_answers(stream: Stream) -> None:
    view = View(1, "uint8", [1 << 20])
    stream.send(Writer().define_device(0, "cpu", 0).ensure(view, 0).take(), 2)
    for _ in range(30):
        stream.send(Writer().read(view).take(), 1)
    stream.finish()
    assert [reply.sequence for reply in stream.replies()] == list(range(3, 33))


def test_a_newer_stream_takes_over(client: Client, created, stream: Stream, refused) -> None:
    stream.send(CPU, 1)
    assert next(response for response in stream.call).executed == 1
    newer = client.stream(created, epoch=2)
    assert newer.response().attached.executed == 1
    with refused(grpc.StatusCode.ABORTED, "taken over"):
        list(stream.replies())
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "epoch 2"):
        client.stream(created, epoch=2).response()
    newer.send(Writer().ensure(View(1, "uint8", [1]), 0).read(View(1, "uint8", [1])).take(), 2, first=2)
    assert next(newer.replies()).sequence == 3


def test_an_op_that_returns_its_argument_gives_memory_of_its_own(stream: Stream) -> None:
    one, two = View(1, "uint8", [2]), View(2, "uint8", [2])
    records = Writer().define_device(0, "cpu", 0).ensure(one, 0).write(1, 0, b"ok")
    records.ask("aten::contiguous", [Writer().byte(Value.TENSOR_HOME).varint(1)], [2])
    stream.send(records.write(1, 0, b"no").read(two).take(), 6)
    replies = stream.replies()
    next(replies)
    assert next(replies).data == b"ok"


def varint(value: int) -> bytes:
    return Writer().varint(value).take()


MALFORMED = {
    "unknown record": b"\xfe",
    "truncated op": b"\x05\x00\x20aten::ad",
    "endless varint": b"\x06" + b"\xff" * 20,
    "huge name": b"\x05\x00" + varint((1 << 64) - 1),
    "huge list": b"\x05\x00" + Writer().text("aten::relu").take() + varint(1 << 60),
    "huge data": b"\x08\x01\x00" + varint(1 << 62) + b"x",
    "storage of nobody": Writer().read(View(99, "float32", [1])).take(),
    "freed by nobody": Writer().free(12345).take(),
    "device of nobody": Writer().ensure(View(1, "uint8", [1]), 9).take(),
    "unknown op": Writer().ask("aten::no_such_op", [], []).take(),
    "op that opens files": Writer().ask("aten::from_file", [], []).take(),
    "sizes that overflow": b"\x06\x01\x00\x04\x06\x02" + varint(1 << 62) + varint(1 << 62),
    "view past the end": CPU + Writer().ensure(View(1, "uint8", [4]), 0).read(View(1, "float64", [1 << 40])).take(),
    "conjugate of real numbers": CPU
    + Writer().ensure(View(1, "float32", [1]), 0).read(View(1, "float32", [1], conjugate=True)).take(),
    "setting of an unknown kind": bytes([Record.SETTING]) + Writer().text("cudnn_enabled").varint(1).byte(13).take(),
    "setting of too many values": bytes([Record.SETTING]) + Writer().text("cudnn_enabled").varint(1 << 40).take(),
    "memory of nobody": Writer().memory(3, Memory.STATS).take(),
    "question about memory": CPU + Writer().memory(0, 99).take(),  # type: ignore[arg-type]
    "random": random.Random(1).randbytes(4096),
}


@pytest.mark.parametrize("records", MALFORMED.values(), ids=MALFORMED)
def test_malformed_records_cost_their_sender_that_stream_only(
    client: Client, created, stream, alice, refused, records
) -> None:
    with refused(INVALID):
        stream.send(records, 1)
        list(stream.replies())
    # The session is still there, and so are the others.
    again = client.stream(created, epoch=2)
    executed = again.response().attached.executed
    view = View(7, "uint8", [2])
    good = Writer().define_device(0, "cpu", 0).ensure(view, 0).write(7, 0, b"ok").read(view).take()
    again.send(good, 4, first=executed + 1)
    assert next(again.replies()).data == b"ok"


def test_a_record_that_is_not_due_is_malformed(stream: Stream, refused) -> None:
    with refused(INVALID, "record 5 came where 1 was due"):
        stream.send(CPU, 1, first=5)
        list(stream.replies())


def test_frames_of_random_bytes_end_a_stream_and_nothing_else(grpc_client: Client, refused) -> None:
    client, created = grpc_client, grpc_client.created
    raw = client.channel.stream_stream("/skytorch.torch.Service/StreamOperations")
    source = random.Random(2)
    for epoch in range(1, 20):
        attach = service_pb2.Attach(
            session_id=created.session.session_id,
            attach_secret=created.attach_secret,
            epoch=epoch,
            capabilities=service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION),
        )
        first = service_pb2.StreamRequest(attach=attach).SerializeToString()
        frames = [first, b"\xff" + source.randbytes(source.randrange(200))]
        with refused(INVALID):
            list(raw(iter(frames), metadata=client.metadata, timeout=60))
    assert client.stream(created, epoch=100).response().attached.epoch == 100


NO_MESSAGES = {
    "longer than any": (1 << 27).to_bytes(4, "little") + b"x",
    "not a request": b"\x04\0\0\0\xff\xff\xff\xff",
    "attached twice": b"\x02\0\0\0\x0a\x00",
}


@pytest.mark.parametrize("sent", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_what_is_no_message_ends_a_local_stream_and_nothing_else(alice: Client, connect, refused, sent) -> None:
    client = _reach("local", alice, connect)
    stream = client.stream(client.created)
    stream.response()
    with refused(INVALID):
        stream.socket.sendall(sent)
        list(stream.replies())
    assert client.stream(client.created, epoch=2).response().attached.executed == 0


def test_a_local_stream_begins_with_attach(alice: Client, connect, refused) -> None:
    client = _reach("local", alice, connect)
    for first in (service_pb2.StreamRequest(first_sequence=1, records=CPU), service_pb2.StreamRequest()):
        with refused(INVALID, "attach"):
            client.local_stream(client.created, first).response()


def test_sessions_share_neither_tensors_nor_random_state(alice: Client, bob: Client, refused) -> None:
    view = View(5, "float32", [3])
    seed = Writer().define_device(0, "cpu", 0).byte(Record.SEED).varint(0).varint(0).varint(42).take()
    streams = []
    for client in (alice, bob):
        stream = client.stream(client.create())
        stream.response()
        stream.send(seed, 2)
        streams.append((stream, stream.replies()))
    drawn = []
    for stream, replies in streams:
        # Each draws from its own generator: the same first numbers for both, though one draws after the other.
        stream.send(Writer().ensure(view, 0).ask("aten::uniform_", [Writer().tensor(view)], []).read(view).take(), 3)
        next(replies)
        drawn.append(next(replies).data)
    assert drawn[0] == drawn[1] != bytes(12)
    (first, _), (second, replies) = streams
    mine = View(6, "uint8", [1])
    first.send(Writer().ensure(mine, 0).take(), 1)
    with refused(INVALID, "storage 6 is not in this session"):
        second.send(Writer().read(mine).take(), 1)
        next(replies)
