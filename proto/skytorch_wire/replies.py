"""Replies, for Python: what the server says in a StreamResponse, read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .format import ErrorKind, Reply
from .records import Reader, View

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class DataReply:
    """A piece of what a read asked for."""

    sequence: int
    offset: int
    total: int
    data: bytes


@dataclass(frozen=True)
class ValuesReply:
    """What an asked op returned; tensors as views."""

    sequence: int
    values: list[Any]


@dataclass(frozen=True)
class DoneReply:
    """A sync was reached."""

    sequence: int


@dataclass(frozen=True)
class ErrorReply:
    """An op failed. `answers` is the read that gets this instead of its value, 0 if none."""

    answers: int
    origin: int
    kind: ErrorKind
    operation: str
    line: int
    cell: int
    message: str


@dataclass(frozen=True)
class SharedDataReply:
    """A piece of what a read asked for, of so many bytes from a place in the segment's lane on."""

    sequence: int
    offset: int
    total: int
    place: int
    size: int


@dataclass(frozen=True)
class SegmentReply:
    """Memory to be mapped: a descriptor of a process. Number 0: there is none, and nothing follows."""

    sequence: int
    number: int
    process: int = 0
    descriptor: int = 0
    slot_bytes: int = 0
    slots: int = 0
    token: bytes = b""


@dataclass(frozen=True)
class OutputReply:
    """What a function has written since, to stdout (1) or stderr (2)."""

    sequence: int
    stream: int
    data: bytes


AnyReply = DataReply | ValuesReply | DoneReply | ErrorReply | SharedDataReply | SegmentReply | OutputReply


def read_replies(data: bytes) -> Iterator[AnyReply]:
    """The replies of a StreamResponse or of a unary call."""
    reader = Reader(data)
    while not reader.done():
        kind = reader.enum(Reply)
        sequence = reader.varint()
        if kind is Reply.DATA:
            yield DataReply(sequence, reader.varint(), reader.varint(), reader.raw())
        elif kind is Reply.VALUES:
            yield ValuesReply(sequence, [_returned(reader) for _ in range(reader.varint())])
        elif kind is Reply.OUTPUT:
            yield OutputReply(sequence, reader.varint(), reader.raw())
        elif kind is Reply.DONE:
            yield DoneReply(sequence)
        elif kind is Reply.DATA_SHARED:
            yield SharedDataReply(sequence, *(reader.varint() for _ in range(4)))
        elif kind is Reply.SEGMENT:
            number = reader.varint()
            if not number:
                yield SegmentReply(sequence, 0)
                continue
            process, descriptor, slot_bytes, slots = (reader.varint() for _ in range(4))
            yield SegmentReply(sequence, number, process, descriptor, slot_bytes, slots, reader.raw())
        else:
            origin, error = reader.varint(), ErrorKind(reader.byte())
            yield ErrorReply(sequence, origin, error, reader.text(), reader.zigzag(), reader.zigzag(), reader.text())


def _returned(reader: Reader) -> Any:
    value = reader.value()
    if isinstance(value, View):
        reader.varint()  # the storage's size in bytes
    return value
