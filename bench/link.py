"""A link with a round-trip time and a bandwidth: what lies between a notebook and a server that is far away.

``with link("127.0.0.1:50051", round_trip=0.1, megabits=100) as far:`` gives a TCP port, at `far.address`, that leads to
that server through a process of its own. Every byte is held for half the round trip in each direction, and each
direction sends at most so many bits a second; order, half-closed connections and the moment of a close are kept. At a
round trip of 0 and no limit bytes are passed on as they come, so that this is what other round trips are compared with.

The address is 0.0.0.0, which leads to this machine and isn't loopback's: to a client it is another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import selectors
import subprocess
import sys
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS = 30
# A timer rings late, and who waits for it wakes up later: measured by an echo, which takes no less than it should.
_LATE = 0.15e-3
_PIECE = 16 << 10  # of what a limited direction sends at once
_SPARE = 256 << 10  # held beyond what is under way, as in a router
_HELD = 64 << 20  # at most where there is no limit


@dataclass(frozen=True)
class Counts:
    """Bytes of TCP payload that were sent towards the server, and back, since the link was made."""

    up: int
    down: int


class Link:
    """A running link."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Use :func:`link`."""
        self._process = process
        self.port = int(self._answer())

    @property
    def address(self) -> str:
        """What a client connects to."""
        return f"grpc://0.0.0.0:{self.port}"

    def counts(self) -> Counts:
        """What has been sent so far, counted where it enters the link."""
        return self._say({})

    def become(self, *, round_trip: float, megabits: float | None = None) -> None:
        """From now on, for open connections too. Seconds, and a million bits a second each way (None: no limit)."""
        self._say({"round_trip": round_trip, "megabits": megabits})

    def _say(self, change: dict[str, float | None]) -> Counts:
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(json.dumps(change) + "\n")
        self._process.stdin.flush()
        up, down = self._answer().split()
        return Counts(int(up), int(down))

    def _answer(self) -> str:
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the link's process has ended")
        return line


@contextmanager
def link(server: str, *, round_trip: float = 0.0, megabits: float | None = None) -> Iterator[Link]:
    """A link to `server`, "host:port", that ends with the context; its process ends with ours in any case."""
    command = [sys.executable, "-m", "bench.link", server]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            made = Link(process)
            made.become(round_trip=round_trip, megabits=megabits)
            yield made
        finally:
            process.terminate()
            process.wait(_START_SECONDS)


class _Way:
    """One direction of the link: what all connections send in it shares the bandwidth."""

    def __init__(self) -> None:
        self.sent = 0
        self._delay = 0.0
        self._rate: float | None = None  # bytes a second
        self._loop = asyncio.get_running_loop()
        self._held: deque[tuple[float, _End, memoryview | None]] = deque()
        self._bytes = 0
        self._limit = _HELD
        self._free = 0.0  # when the line has sent everything that it was given
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: set[_End] = set()

    def become(self, delay: float, rate: float | None) -> None:
        self._delay, self._rate = max(delay - _LATE, 0.0), rate
        self._limit = _HELD if rate is None else min(_HELD, int(rate * delay) + _SPARE)

    def send(self, source: _End, target: _End, data: bytes) -> None:
        self.sent += len(data)
        if not self._held and not self._delay and self._rate is None:
            target.pass_on(memoryview(data))
            return
        rest = memoryview(data)
        while rest:
            piece = rest if self._rate is None else rest[:_PIECE]
            rest = rest[len(piece) :]
            self._hold(target, piece)
        if self._bytes >= self._limit:
            self._waiting.add(source)
            source.rest()

    def end(self, target: _End) -> None:
        """Ends what is sent to `target`, after everything that is under way."""
        if self._held or self._delay:
            self._hold(target, None)
        else:
            target.pass_on(None)

    def _hold(self, target: _End, piece: memoryview | None) -> None:
        size = len(piece) if piece is not None else 0
        self._free = max(self._free, self._loop.time()) + (size / self._rate if self._rate else 0.0)
        # A shorter round trip than before overtakes nothing.
        due = max(self._free + self._delay, self._held[-1][0] if self._held else 0.0)
        self._held.append((due, target, piece))
        self._bytes += size
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._release)

    def _release(self) -> None:
        now = self._loop.time()
        while self._held and self._held[0][0] <= now:
            _, target, piece = self._held.popleft()
            self._bytes -= len(piece) if piece is not None else 0
            target.pass_on(piece)
        self._timer = self._loop.call_at(self._held[0][0], self._release) if self._held else None
        if self._waiting and self._bytes < self._limit:
            waiting, self._waiting = self._waiting, set()
            for source in waiting:
                source.go_on()


class _End(asyncio.Protocol):
    """One end of a connection. What it receives goes through `way` to its `peer`, the other end."""

    peer: _End
    transport: asyncio.Transport

    def __init__(self, way: _Way) -> None:
        self._way = way
        self._full = False  # the one that we send to doesn't take it
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._way.send(self, self.peer, data)

    def eof_received(self) -> bool:
        self._way.end(self.peer)
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        self._gone = True
        self._way.end(self.peer)

    def pass_on(self, data: memoryview | None) -> None:
        if data is not None:
            if not self._gone:
                self.transport.write(data)
        elif self.peer.is_gone():
            self.transport.close()
        elif not self._gone:
            with suppress(OSError):  # the other end has just cut it
                self.transport.write_eof()

    def is_gone(self) -> bool:
        return self._gone

    def pause_writing(self) -> None:
        self._full = True
        self.peer.rest()

    def resume_writing(self) -> None:
        self._full = False
        self.peer.go_on()

    def rest(self) -> None:
        if not self._gone:
            self.transport.pause_reading()

    def go_on(self) -> None:
        if not self._gone and not self.peer.is_full():
            self.transport.resume_reading()

    def is_full(self) -> bool:
        return self._full


class _Near(_End):
    """The end that a client has connected to: reads once the server is reached."""

    def __init__(self, up: _Way, down: _Way, host: str, port: int) -> None:
        super().__init__(up)
        self.peer = _End(down)
        self.peer.peer = self
        self._place = host, port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.rest()
        self._reaching = asyncio.create_task(self._reach())

    async def _reach(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.peer, *self._place)
        except OSError:
            self.transport.abort()
        else:
            self.go_on()

    def connection_lost(self, error: Exception | None) -> None:
        if hasattr(self.peer, "transport"):
            super().connection_lost(error)


async def _serve(server: str) -> None:
    host, _, port = server.rpartition(":")
    loop = asyncio.get_running_loop()
    up, down = _Way(), _Way()
    accepting = await loop.create_server(partial(_Near, up, down, host, int(port)), "0.0.0.0", 0)  # noqa: S104
    print(accepting.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        change = json.loads(line)
        if change:
            rate = change["megabits"] * 1e6 / 8 if change["megabits"] else None
            for way in (up, down):
                way.become(change["round_trip"] / 2, rate)
        print(up.sent, down.sent, flush=True)


def main() -> None:
    """``python -m bench.link HOST:PORT``: says its port; then a line of JSON changes it, and is answered by counts."""
    # Linux lets timers ring up to 50 µs late, to save power, unless told so (PR_SET_TIMERSLACK).
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(29, 1)
    parser = argparse.ArgumentParser(prog="python -m bench.link")
    parser.add_argument("server")
    # select(), because epoll counts in milliseconds.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(_serve(parser.parse_args().server))


if __name__ == "__main__":
    main()
