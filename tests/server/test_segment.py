"""Large data through memory that the server shares with a client on its machine."""

from __future__ import annotations

import mmap
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from skytorch_wire.format import Record
from skytorch_wire.records import View, Writer
from skytorch_wire.replies import DataReply, SegmentReply, SharedDataReply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client, Connect, Stream

    from skytorch_wire import sessions_pb2

INVALID = grpc.StatusCode.INVALID_ARGUMENT
HEADER = 4096
#: Where the header counts what is filled and emptied, as segment.h lays it out.
UP_FILLED, UP_EMPTIED, DOWN_FILLED, DOWN_EMPTIED = 64, 128, 192, 256
CPU = Writer().define_device(0, "cpu", 0).take()


def share() -> bytes:
    return bytes([Record.SHARE])


def mapped(number: int, there: int = 1) -> bytes:
    return Writer().byte(Record.MAPPED).varint(number).varint(there).take()


def write_shared(number: int, storage: int, offset: int, place: int, size: int) -> bytes:
    record = Writer().byte(Record.WRITE_SHARED)
    for field in (number, storage, offset, place, size):
        record.varint(field)
    return record.take()


def read_shared(view: View) -> bytes:
    return Writer().byte(Record.READ_SHARED).tensor(view).take()


class Mapped:
    """The client's end of a segment."""

    def __init__(self, told: SegmentReply) -> None:
        self.told = told
        size = HEADER + 2 * told.slot_bytes * told.slots
        descriptor = os.open(f"/proc/{told.process}/fd/{told.descriptor}", os.O_RDWR)
        self.memory = mmap.mmap(descriptor, size)
        os.close(descriptor)
        self.filled = 0
        self.emptied = 0

    def fill(self, data: bytes) -> None:
        """Puts a part into the lane that goes up."""
        step = self.told.slot_bytes
        for start in range(0, len(data), step):
            at = HEADER + self.filled % self.told.slots * step
            chunk = data[start : start + step]
            self.memory[at : at + len(chunk)] = chunk
            self.filled += 1
            self.memory[UP_FILLED : UP_FILLED + 4] = self.filled.to_bytes(4, "little")

    def empty(self, size: int, until: Any) -> bytes:
        """Takes a part out of the lane that comes down."""
        step, data = self.told.slot_bytes, b""
        for left in range(size, 0, -step):
            place = self.emptied
            until(lambda place=place: self.count(DOWN_FILLED) > place, "the server fills a slot")
            at = HEADER + step * (self.told.slots + self.emptied % self.told.slots)
            data += self.memory[at : at + min(step, left)]
            self.emptied += 1
            self.memory[DOWN_EMPTIED : DOWN_EMPTIED + 4] = self.emptied.to_bytes(4, "little")
        return data

    def count(self, where: int) -> int:
        return int.from_bytes(self.memory[where : where + 4], "little")


def segments_of(pid: int) -> int:
    """How many segments a process has mapped."""
    return Path(f"/proc/{pid}/maps").read_text().count("/memfd:skytorch")


@pytest.fixture
def created(alice: Client) -> sessions_pb2.CreateSessionResponse:
    return alice.create()


@pytest.fixture
def stream(alice: Client, connect: Connect, created: sessions_pb2.CreateSessionResponse) -> Stream:
    stream = connect(created.endpoints[0].address).stream(created)
    stream.response()
    return stream


@pytest.fixture
def replies(stream: Stream) -> Iterator[Any]:
    return stream.replies()


def offered(stream: Stream, replies: Iterator[Any]) -> SegmentReply:
    stream.send(share(), 1)
    told = next(replies)
    assert isinstance(told, SegmentReply)
    assert told.number
    return told


@pytest.fixture
def segment(stream: Stream, replies: Iterator[Any]) -> Mapped:
    segment = Mapped(offered(stream, replies))
    stream.send(mapped(segment.told.number) + CPU, 2)
    return segment


def test_the_memory_is_what_the_server_says_and_can_neither_shrink_nor_be_found_again(
    stream: Stream, replies: Iterator[Any], created
) -> None:
    told = offered(stream, replies)
    path = f"/proc/{told.process}/fd/{told.descriptor}"
    assert told.process == created.session.pid
    with Path(path).open("r+b") as file:
        assert file.read(16) == told.token != bytes(16)
        for size in (0, 1 << 30):
            with pytest.raises(PermissionError):
                file.truncate(size)
    stream.send(mapped(told.number) + bytes([Record.SYNC]), 2)
    next(replies)
    assert not Path(path).exists()


def test_large_data_goes_both_ways_in_parts(stream: Stream, replies: Iterator[Any], segment: Mapped, until) -> None:
    half = segment.told.slot_bytes * segment.told.slots // 2
    size = 3 * half + 12345
    payload = random.Random(0).randbytes(size)
    view = View(1, "uint8", [size])
    stream.send(Writer().ensure(view, 0).take(), 1)
    for start in range(0, size, half):
        part = payload[start : start + half]
        needed = segment.filled + -(-len(part) // segment.told.slot_bytes) - segment.told.slots
        until(lambda needed=needed: segment.count(UP_EMPTIED) >= needed, "slots come free")
        stream.send(write_shared(segment.told.number, 1, start, segment.filled, len(part)), 1)
        segment.fill(part)
    stream.send(read_shared(view), 1)
    received, ways = b"", set()
    while len(received) < size:
        reply = next(replies)
        assert (reply.sequence, reply.offset, reply.total) == (stream.sequence, len(received), size)
        ways.add(type(reply))
        if isinstance(reply, SharedDataReply):
            assert reply.place == segment.emptied
            received += segment.empty(reply.size, until)
        else:  # this end took its time, and the server doesn't wait long
            received += reply.data
    assert received == payload
    assert SharedDataReply in ways


def test_a_client_that_takes_nothing_out_gets_its_data_through_the_stream(
    stream: Stream, replies: Iterator[Any], segment: Mapped
) -> None:
    size = 4 * segment.told.slot_bytes * segment.told.slots
    stream.send(Writer().ensure(View(1, "uint8", [size]), 0).take() + read_shared(View(1, "uint8", [size])), 2)
    received, ways = 0, []
    while received < size:
        reply = next(replies)
        assert reply.offset == received
        ways.append(type(reply))
        received += reply.size if isinstance(reply, SharedDataReply) else len(reply.data)
    assert ways[:2] == [SharedDataReply] * 2
    assert set(ways[2:]) == {DataReply}


def test_without_a_segment_data_comes_through_the_stream(stream: Stream, replies: Iterator[Any], created) -> None:
    view = View(1, "uint8", [1 << 20])
    reading = CPU + Writer().ensure(view, 0).take() + read_shared(view)
    stream.send(reading, 3)
    assert isinstance(next(replies), DataReply)
    told = offered(stream, replies)
    stream.send(mapped(told.number, 0) + read_shared(view), 2)
    assert isinstance(next(replies), DataReply)
    assert segments_of(created.session.pid) == 0


def test_a_session_has_one_segment_at_most(stream: Stream, replies: Iterator[Any], created) -> None:
    segments = [Mapped(offered(stream, replies)) for _ in range(5)]
    assert len({segment.told.number for segment in segments}) == 5
    stream.send(mapped(segments[-1].told.number) + bytes([Record.SYNC]), 2)
    next(replies)
    assert segments_of(created.session.pid) == 1


BAD = {
    "another segment": lambda number: write_shared(number + 1, 1, 0, 0, 4),
    "no segment": lambda number: write_shared(0, 1, 0, 0, 4),
    "a place that is to come": lambda number: write_shared(number, 1, 0, 1, 4),
    "a place that is over": lambda number: write_shared(number, 1, 0, 0, 4) + write_shared(number, 1, 4, 0, 4),
    "more than a lane takes": lambda number: write_shared(number, 1, 0, 0, 1 << 40),
    "a place beyond numbers": lambda number: write_shared(number, 1, 0, 1 << 32, 4),
    "past the end of the storage": lambda number: write_shared(number, 1, 5, 0, 4),
    "a storage of nobody": lambda number: write_shared(number, 9, 0, 0, 4),
    "another segment mapped": lambda number: mapped(number + 1),
    "mapped how?": lambda number: mapped(number, 2),
}


@pytest.mark.parametrize("records", BAD.values(), ids=BAD)
def test_what_isn_t_the_session_s_or_is_out_of_order_is_refused(
    stream: Stream, replies: Iterator[Any], segment: Mapped, refused, alice: Client, created, records
) -> None:
    view = View(1, "uint8", [8])
    segment.fill(b"evil")
    stream.send(Writer().ensure(view, 0).write(1, 0, bytes(8)).take(), 2)
    with refused(INVALID, "segment|order|lane|storage|mapped"):
        stream.send(records(segment.told.number), 2)
        list(replies)
    again = alice.stream(created, epoch=2)
    executed = again.response().attached.executed
    again.send(Writer().read(view).take(), 1, first=executed + 1)
    good = b"evil" if records is BAD["a place that is over"] else bytes(4)  # the first of its two chunks was in order
    assert next(again.replies()).data == good + bytes(4)
    alice.close_session(created.session.session_id)
    assert not Path(f"/proc/{created.session.pid}").exists()


def test_a_segment_of_another_session_is_refused(alice: Client, connect: Connect, segment: Mapped, refused) -> None:
    created = alice.create()
    other = connect(created.endpoints[0].address).stream(created)
    other.response()
    other.send(CPU + Writer().ensure(View(1, "uint8", [8]), 0).take(), 2)
    with refused(INVALID, "segment 1 is not this session's"):
        other.send(write_shared(segment.told.number, 1, 0, 0, 4), 1)
        list(other.replies())


def test_a_segment_that_was_never_mapped_is_refused(stream: Stream, replies: Iterator[Any], refused) -> None:
    told = offered(stream, replies)
    stream.send(CPU + Writer().ensure(View(1, "uint8", [8]), 0).take(), 2)
    with refused(INVALID, "isn't mapped"):
        stream.send(write_shared(told.number, 1, 0, 0, 4), 1)
        list(replies)
