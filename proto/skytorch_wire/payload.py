"""Several runs of bytes as one, for what travels in parts: how many, how long each is, and then the bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from .records import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["joined", "parts", "split"]

_NUMBER = struct.Struct("<Q")


def parts(pieces: Sequence[memoryview], size: int) -> Iterator[memoryview]:
    """The payload of these pieces (of bytes), in parts of at most `size` bytes. None of them is empty."""
    numbers = [len(pieces), *(piece.nbytes for piece in pieces)]
    for run in (memoryview(b"".join(map(_NUMBER.pack, numbers))), *pieces):
        for at in range(0, run.nbytes, size):
            yield run[at : at + size]


def joined(pieces: Sequence[memoryview]) -> bytes:
    """The payload of these pieces as one."""
    return b"".join(parts(pieces, 1 << 62))


def split(payload: Iterable[bytes]) -> list[list[memoryview]]:
    """The pieces of a payload that came in parts, each as the runs of bytes that it lies in.

    Raises MalformedError when it is none.
    """
    runs = _Runs(payload)
    sizes = [runs.number() for _ in range(runs.number())]
    pieces = [runs.take(size) for size in sizes]
    if runs.left:
        raise MalformedError("a payload goes on after its pieces")
    return pieces


class _Runs:
    def __init__(self, payload: Iterable[bytes]) -> None:
        self._runs = [memoryview(part) for part in reversed(list(payload))]
        self.left = sum(run.nbytes for run in self._runs)

    def number(self) -> int:
        number: int = _NUMBER.unpack(b"".join(self.take(_NUMBER.size)))[0]
        return number

    def take(self, size: int) -> list[memoryview]:
        if size > self.left:
            raise MalformedError("a payload ends inside a piece")
        self.left -= size
        taken = []
        while size:
            run = self._runs.pop()
            taken.append(run[:size])
            if run.nbytes > size:
                self._runs.append(run[size:])
            size -= taken[-1].nbytes
        return taken
