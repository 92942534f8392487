"""What a function writes, on its way into the notebook's cell as it is written."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["redirected"]

STDOUT, STDERR = 1, 2

# A loop that prints gathers this much, or writes for this long, before a message is made of it.
_PIECE_BYTES = 32 * 1024
_GATHER_SECONDS = 0.02


@contextmanager
def redirected(write: Callable[[int, bytes], None]) -> Iterator[None]:
    """Sends what is written to sys.stdout and sys.stderr to `write`, in order; whoever writes too much waits for it."""
    outlet = _Outlet(write)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Text(outlet, STDOUT), _Text(outlet, STDERR)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        outlet.close()


class _Outlet:
    """Sends what comes after a pause at once, and gathers what comes soon after, for a thread of its own to send."""

    def __init__(self, write: Callable[[int, bytes], None]) -> None:
        self._write = write
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._closed = False
        self._sending = False
        self._sent_at = 0.0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def put(self, stream: int, data: bytes) -> None:
        with self._changed:
            # Bounded by what the client takes: it waits here, not in memory.
            while self._size >= _PIECE_BYTES and not self._closed:
                self._changed.wait()
            if self._closed:
                return  # a thread that the function left behind: there is no cell any more
            pause = time.monotonic() - self._sent_at >= _GATHER_SECONDS
            if self._pieces or self._sending or not pause:
                self._pieces.append((stream, data))
                self._size += len(data)
                self._changed.notify_all()
                return
            self._sending = True
        self._send([(stream, data)])

    def _send(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        try:
            for stream, data in pieces:
                for at in range(0, len(data), _PIECE_BYTES):
                    self._write(stream, data[at : at + _PIECE_BYTES])
        finally:
            with self._changed:
                self._sending = False
                self._sent_at = time.monotonic()
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._sending or not (self._pieces or self._closed):
                    self._changed.wait()
                if not self._pieces:
                    return
                self._changed.wait_for(lambda: self._closed or self._size >= _PIECE_BYTES, _GATHER_SECONDS)
                pieces, self._pieces, self._size = self._pieces, deque(), 0
                self._sending = True
                self._changed.notify_all()
            self._send(_merged(pieces))


def _merged(pieces: deque[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    run, gathered = 0, bytearray()
    for stream, data in pieces:
        if stream != run and gathered:
            yield run, bytes(gathered)
            gathered.clear()
        run = stream
        gathered += data
    yield run, bytes(gathered)


class _Text(io.TextIOBase):
    """A text stream without a file."""

    def __init__(self, outlet: _Outlet, stream: int) -> None:
        self._outlet = outlet
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            msg = f"write() argument must be str, not {type(text).__name__}"
            raise TypeError(msg)
        if text:
            self._outlet.put(self._stream, text.encode("utf-8", "backslashreplace"))
        return len(text)
