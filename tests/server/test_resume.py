"""A client that was cut off comes back: nothing is executed twice, and nothing that was said is lost."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from skytorch_wire import service_pb2
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from .conftest import Client, LocalStream, Stream

VIEW = View(5, "float32", [4])
BEGIN = Writer().define_device(0, "cpu", 0).ensure(VIEW, 0).write(5, 0, bytes(16)).take()
BEGIN_RECORDS = 3
READ = Writer().read(VIEW).take()


@pytest.fixture(params=["local", "tunnelled", "relayed"])
def client(request: pytest.FixtureRequest, alice: Client, server) -> Client:
    alice.local = request.param != "relayed"
    alice.door = server.target if request.param == "tunnelled" else ""
    return alice


def cut(stream: Stream | LocalStream) -> None:
    if hasattr(stream, "socket"):
        stream.socket.shutdown(socket.SHUT_RDWR)
    else:
        stream.call.cancel()


def begin(client: Client):
    created = client.create()
    stream = client.stream(created)
    stream.response()
    stream.send(BEGIN, BEGIN_RECORDS)
    next(response for response in stream.call if response.executed == BEGIN_RECORDS)
    return created, stream


def back(
    client: Client, created, epoch: int, replies_received: int
) -> tuple[Stream | LocalStream, service_pb2.Attached]:
    stream = client.stream(created, epoch=epoch, replies_received=replies_received)
    return stream, stream.response().attached


def with_replies(stream: Stream | LocalStream) -> service_pb2.StreamResponse:
    return next(response for response in stream.call if response.replies)


def test_a_reply_that_was_not_acknowledged_comes_again_and_is_the_same(client: Client) -> None:
    created, stream = begin(client)
    stream.send(READ, 1)
    told = with_replies(stream)
    cut(stream)
    again, attached = back(client, created, 2, replies_received=0)
    assert attached.executed == attached.received == BEGIN_RECORDS + 1
    repeated = with_replies(again)
    assert (repeated.number, repeated.replies) == (told.number, told.replies) == (1, told.replies)
    again.sequence = attached.executed
    again.send(READ, 1)
    assert with_replies(again).number == told.number + 1


def test_a_reply_that_was_acknowledged_does_not_come_again(client: Client) -> None:
    created, stream = begin(client)
    stream.send(READ, 1)
    told = with_replies(stream)
    stream.send(READ, 1)
    later = with_replies(stream)
    cut(stream)
    again, attached = back(client, created, 2, replies_received=told.number)
    assert with_replies(again).number == later.number
    assert attached.received == BEGIN_RECORDS + 2


def test_an_acknowledgement_needs_no_records(client: Client) -> None:
    created, stream = begin(client)
    stream.send(READ, 1)
    told = with_replies(stream)
    stream._requests.put(service_pb2.StreamRequest(replies_received=told.number))
    # What comes behind it has been taken as well.
    stream.send(READ, 1)
    later = with_replies(stream)
    cut(stream)
    again, _ = back(client, created, 2, replies_received=0)
    assert with_replies(again).number == later.number


def test_a_frame_that_came_in_part_is_asked_for_again(client: Client) -> None:
    if not client.local:
        pytest.skip("gRPC hands over whole messages only")
    created, stream = begin(client)
    frame = service_pb2.StreamRequest(first_sequence=BEGIN_RECORDS + 1, records=READ * 1000).SerializeToString()
    stream.socket.sendall(len(frame).to_bytes(4, "little") + frame[: len(frame) // 2])
    cut(stream)
    again, attached = back(client, created, 2, replies_received=0)
    # The first frame has come whole, if not as the second began.
    assert attached.received == 1
    again.put(frame)
    assert with_replies(again).number == 1


def test_what_was_sent_before_the_cut_is_executed_once(client: Client) -> None:
    created, stream = begin(client)
    step = Writer().write(5, 0, bytes(16)).take()
    stream.send(step * 10, 10)
    cut(stream)
    again, attached = back(client, created, 2, replies_received=0)
    if attached.received < 1:
        again.send(BEGIN, BEGIN_RECORDS, first=1)
    if attached.received < BEGIN_RECORDS + 1:
        again.send(step * 10, 10, first=BEGIN_RECORDS + 1)
    again.sequence = BEGIN_RECORDS + 10
    again.send(READ, 1)
    with_replies(again)
    assert client.get(created.session.session_id).stats.executed == BEGIN_RECORDS + 11


def test_an_older_connection_is_refused_when_a_newer_one_is_attached(client: Client) -> None:
    created, stream = begin(client)
    newer, _ = back(client, created, 9, replies_received=0)
    late = client.stream(created, epoch=3)
    with pytest.raises(Exception, match="epoch 3 is not newer than epoch 9"):
        late.response()
    newer.sequence = BEGIN_RECORDS
    newer.send(READ, 1)
    assert with_replies(newer).number == 1
    cut(stream)
