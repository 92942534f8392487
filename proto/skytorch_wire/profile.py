"""What a server has timed for a client that profiles: the answer to the record PROFILED."""

from __future__ import annotations

from dataclasses import dataclass

from .records import MalformedError, Reader

__all__ = ["Sum", "Timed", "Times", "read_times"]


@dataclass(frozen=True)
class Sum:
    """All records of one name from one line. Times in nanoseconds."""

    name: str
    """Of the op ("aten::add.out"), or of what the record is ("upload", "read")."""
    cell: int
    line: int
    count: int
    host: int
    """That the server's thread was busy with them."""
    device: int
    """That a device with a stream of its own (CUDA) was busy with them; 0 for ops of the CPU."""


@dataclass(frozen=True)
class Timed:
    """One record. Times in nanoseconds, beginnings by the server's clock."""

    sum: int
    """The place of its sum."""
    began: int
    host: int
    device_began: int
    """0 where `device` is."""
    device: int


@dataclass(frozen=True)
class Times:
    """Sums are of all records, `events` the first of them; so many more are only in the sums."""

    sums: tuple[Sum, ...]
    events: tuple[Timed, ...]
    dropped: int


def read_times(data: bytes) -> Times:
    """The times of such an answer. Raises MalformedError."""
    reader = Reader(data)
    number = reader.varint
    sums = tuple(
        Sum(reader.text(), reader.zigzag(), reader.zigzag(), number(), number(), number()) for _ in range(number())
    )
    events = tuple(Timed(number(), number(), number(), number(), number()) for _ in range(number()))
    dropped = number()
    if not reader.done() or any(event.sum >= len(sums) for event in events):
        raise MalformedError("the server's times make no sense")
    return Times(sums, events, dropped)
