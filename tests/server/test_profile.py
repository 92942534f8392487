"""The records about time: what a server tells of what it has done, and what it does with bad ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire.format import Record, Value
from skytorch_wire.profile import read_times
from skytorch_wire.records import MalformedError, View, Writer
from skytorch_wire.replies import DataReply

if TYPE_CHECKING:
    from conftest import Client, Stream

    from skytorch_wire import sessions_pb2
    from skytorch_wire.profile import Times

VIEW = View(1, "float32", [4])
SETUP = Writer().define_device(0, "cpu", 0).ensure(VIEW, 0).take()


@pytest.fixture
def created(alice: Client) -> sessions_pb2.CreateSessionResponse:
    return alice.create()


@pytest.fixture
def stream(alice: Client, created: sessions_pb2.CreateSessionResponse) -> Stream:
    stream = alice.stream(created)
    stream.response()
    stream.send(SETUP, 2)
    return stream


def mark(line: int, cell: int) -> Writer:
    return Writer().byte(Record.MARK).zigzag(line).zigzag(cell)


def times(stream: Stream, records: Writer, count: int) -> Times:
    """Sends the records, asks for the times, and returns what comes after the replies of the records."""
    stream.send(records.profiled().take(), count + 1)
    data = b""
    for reply in stream.replies():
        if isinstance(reply, DataReply) and reply.sequence == stream.sequence:
            data += reply.data
            if len(data) == reply.total:
                break
    return read_times(data)


def relu(records: Writer, calls: int) -> Writer:
    """An op that nothing is answered to, so many times."""
    call = Writer().byte(Record.OP).varint(0).text("aten::relu_").varint(1).tensor(VIEW).varint(0).take()
    records.data += call * calls
    return records


def test_the_clock_only_goes_forward(stream: Stream) -> None:
    stream.send(Writer().clock().clock().take(), 2)
    replies = stream.replies()
    (first,), (second,) = next(replies).values, next(replies).values
    assert 0 < first <= second


def test_times_are_told_by_op_and_line(stream: Stream) -> None:
    records = Writer().profile(100)
    records.data += mark(3, 8).data
    relu(records, 5)
    records.data += mark(4, 8).data
    relu(records, 2).read(VIEW)
    found = times(stream, records, 11)
    counts = {(each.name, each.cell, each.line): each.count for each in found.sums}
    assert counts == {("aten::relu_", 8, 3): 5, ("aten::relu_", 8, 4): 2, ("read", 8, 4): 1}
    assert all(each.host > 0 and each.device == 0 for each in found.sums)
    assert found.dropped == 0
    assert [found.sums[event.sum].line for event in found.events] == [3] * 5 + [4] * 3
    ends = [event.began + event.host for event in found.events]
    assert all(end <= event.began for end, event in zip(ends, found.events[1:], strict=False))
    by_event = sum(event.host for event in found.events)
    assert by_event == sum(each.host for each in found.sums)


def test_sums_stay_exact_when_events_are_dropped(stream: Stream) -> None:
    found = times(stream, relu(Writer().profile(3), 10), 11)
    assert (found.sums[0].count, len(found.events), found.dropped) == (10, 3, 7)
    # It goes on until it is ended, or begun anew.
    found = times(stream, relu(Writer(), 4), 4)
    assert found.sums[0].count == 14
    found = times(stream, relu(Writer().profile(3), 1), 2)
    assert (found.sums[0].count, found.dropped) == (1, 0)


def test_a_failed_op_is_timed_too(stream: Stream) -> None:
    dimension = Writer().byte(Value.INT).zigzag(5)
    select = [Writer().tensor(VIEW), dimension, Writer().tensor(VIEW)]
    found = times(stream, Writer().profile(10).ask("aten::index_select", select, [9]), 2)
    assert [(each.name, each.count) for each in found.sums] == [("aten::index_select", 1)]


def test_a_long_profile_travels_in_chunks(stream: Stream) -> None:
    found = times(stream, Writer().profile(1 << 20), 1)
    assert found.sums == ()
    for _ in range(10):
        stream.send(relu(Writer(), 5000).take(), 5000)
    found = times(stream, Writer(), 0)
    assert found.sums[0].count == len(found.events) == 50_000


@pytest.mark.parametrize(
    "records",
    [
        Writer().profiled().take(),
        Writer().profile(5).profile(0).profiled().take(),
        Writer().profile((1 << 20) + 1).take(),
        Writer().profile((1 << 64) - 1).take(),
        bytes([Record.PROFILE]),
        bytes([Record.PROFILE]) + b"\xff" * 11,
        bytes([33]),
    ],
    ids=["none begun", "one that ended", "one more than the limit", "a huge one", "cut off", "endless", "unknown"],
)
def test_malformed_records_end_their_stream_only(alice: Client, created, stream: Stream, refused, records) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        stream.send(records, 3)
        list(stream.replies())
    again = alice.stream(created, epoch=2)
    again.sequence = again.response().attached.executed
    found = times(again, relu(Writer().profile(10), 1), 2)
    assert found.sums[0].count == 1


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x00\x01\x05\x00\x00\x00\x00\x00", b"\x00\x00\x00\x00"])
def test_times_that_make_no_sense_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        read_times(data)
