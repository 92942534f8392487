"""Data that was sent before is copied where the server still has it, and only there."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from skytorch_wire.format import Record
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client, Stream

SIZE = 3_000_001
DATA = random.Random(0).randbytes(SIZE)
FIRST, SECOND = View(1, "uint8", [SIZE]), View(2, "uint8", [SIZE + 10])


def offer(storage: int, offset: int, size: int, source: int, source_offset: int, data: bytes) -> bytes:
    record = Writer().byte(Record.OFFER)
    for field in (storage, offset, size, source, source_offset):
        record.varint(field)
    return record.take() + hashlib.blake2b(data, digest_size=32).digest()


@pytest.fixture
def stream(alice: Client) -> Stream:
    stream = alice.stream(alice.create())
    stream.response()
    writer = Writer().define_device(0, "cpu", 0).ensure(FIRST, 0).ensure(SECOND, 0)
    stream.send(writer.write(1, 0, DATA).write(2, 0, bytes(SIZE + 10)).take(), 5)
    return stream


@pytest.fixture
def replies(stream: Stream) -> Iterator[Any]:
    return stream.replies()


def held(stream: Stream, replies: Iterator[Any], view: View) -> bytes:
    stream.send(Writer().read(view).take(), 1)
    data = b""
    while len(data) < view.bytes:
        data += next(replies).data
    return data


def test_what_is_there_is_copied(stream: Stream, replies: Iterator[Any]) -> None:
    stream.send(offer(2, 7, SIZE, 1, 0, DATA), 1)
    assert next(replies).values == [True]
    assert held(stream, replies, SECOND) == bytes(7) + DATA + bytes(3)
    stream.send(offer(2, 0, 1000, 2, 507, DATA[500:1500]) + offer(1, 0, SIZE, 1, 0, DATA), 2)
    assert [next(replies).values, next(replies).values] == [[True], [True]]
    assert held(stream, replies, SECOND)[:1010] == DATA[500:1500] + DATA[993:1003]
    assert held(stream, replies, FIRST) == DATA


def test_what_has_changed_is_not(stream: Stream, replies: Iterator[Any]) -> None:
    stream.send(Writer().write(1, SIZE // 2, b"\x00\x01\x02").take() + offer(2, 0, SIZE, 1, 0, DATA), 2)
    assert next(replies).values == [False]
    assert held(stream, replies, SECOND) == bytes(SIZE + 10)


GONE = {
    "freed": lambda: Writer().free(1).take() + offer(2, 0, SIZE, 1, 0, DATA),
    "another's": lambda: Writer().free(1).ensure(View(1, "uint8", [4]), 0).take() + offer(2, 0, SIZE, 1, 0, DATA),
    "never there": lambda: Writer().ensure(FIRST, 0).take() + offer(2, 0, SIZE, 99, 0, DATA),
    "past the end": lambda: Writer().ensure(FIRST, 0).take() + offer(2, 0, SIZE, 1, 1, DATA),
    "far past the end": lambda: Writer().ensure(FIRST, 0).take() + offer(2, 0, SIZE, 1, (1 << 63) - 1, DATA),
    "empty": lambda: Writer().ensure(FIRST, 0).take() + offer(2, 0, 0, 1, 0, b""),
}


@pytest.mark.parametrize("records", GONE.values(), ids=GONE)
def test_what_is_gone_is_not(stream: Stream, replies: Iterator[Any], records) -> None:
    stream.send(records(), 3 if records is GONE["another's"] else 2)
    assert next(replies).values == [False]
    assert held(stream, replies, SECOND) == bytes(SIZE + 10)


NOWHERE = {
    "storage of nobody": offer(9, 0, SIZE, 1, 0, DATA),
    "past the end": offer(2, 11, SIZE, 1, 0, DATA),
    "far past the end": offer(2, 0, 1 << 62, 1, 0, DATA),
    "half a hash": offer(2, 0, SIZE, 1, 0, DATA)[:-1],
}


@pytest.mark.parametrize("record", NOWHERE.values(), ids=NOWHERE)
def test_a_target_that_isn_t_there_is_malformed(stream: Stream, replies: Iterator[Any], refused, record: bytes) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        stream.send(record, 1)
        list(replies)
