"""A TCP proxy that goes wrong when it is told to: it cuts, goes silent, or delivers what it held when that is too late.

``with proxy("127.0.0.1:50051") as between:`` gives a port, at `between.address`, that leads to that server through a
process of its own. Bytes are passed on as they come until something is asked for:

- `cut("reset")`, `cut("end")`: every open connection is reset, or ended as by a process that exits, at both ends
- `cut("near")`: the client's end is reset, and the server's stays open and silent, as when a laptop loses its network
- `cut("far")`: the server's end is reset, and the client's stays open and silent, as behind a router that forgot it
- `cut("late")`: as "near"; but what the client had sent is held, and goes to the server after the client came back
- `stall(seconds)`: nothing passes either way for so long, and then everything
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import struct
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Cut = Literal["reset", "end", "near", "far", "late"]
CUTS: tuple[Cut, ...] = ("reset", "end", "near", "far", "late")

_START_SECONDS = 30
_PIECE = 64 * 1024
_HELD = 4 * 1024 * 1024
# How long what is late is gathered before the cut, and how long a silent end stays open.
_GATHER_SECONDS = 0.02
_SILENT_SECONDS = 20.0
_REFUSAL = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Counts:
    """Since the proxy was made: connections, bytes towards the server and back, and bytes that came too late."""

    connections: int
    up: int
    down: int
    late: int


class Proxy:
    """A running proxy."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Use :func:`proxy`."""
        self._process = process
        self.port = int(self._answer())

    @property
    def address(self) -> str:
        """What a client connects to."""
        return f"grpc://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def cut(self, kind: Cut) -> None:
        """Cut every connection that is open."""
        self._say({"do": "cut", "kind": kind})

    def stall(self, seconds: float) -> None:
        """Let nothing pass for so long, from now on; returns at once."""
        self._say({"do": "stall", "seconds": seconds})

    def counts(self) -> Counts:
        """What has passed so far."""
        return Counts(**self._say({"do": "nothing"}))

    def _say(self, command: dict[str, object]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._answer()))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the proxy's process has ended")
        return line


@contextmanager
def proxy(server: str, *, tunnels: bool = True) -> Iterator[Proxy]:
    """A proxy to `server`, "host:port", that ends with the context. Without `tunnels` it allows no HTTP CONNECT."""
    command = [sys.executable, "-m", "tests.faults.proxy", server, *([] if tunnels else ["--no-tunnels"])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield Proxy(process)
        finally:
            process.kill()
            process.wait(_START_SECONDS)


class _Pair:
    """A connection to the proxy, and the proxy's to the server."""

    def __init__(self, between: _Between, near: socket.socket, far: socket.socket) -> None:
        self._between = between
        self.near, self.far = near, far
        self.silent = False
        self.holding = False
        self.held: list[bytes] = []
        self._ways = [asyncio.create_task(self._pass(near, far, up=True)), asyncio.create_task(self._pass(far, near))]

    async def run(self) -> None:
        await asyncio.wait(self._ways)
        if not self.silent:
            self.close()

    async def _pass(self, source: socket.socket, target: socket.socket, *, up: bool = False) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await loop.sock_recv(source, _PIECE):
                await self._between.open.wait()
                if up and self.holding:
                    self.held.append(data)
                    if sum(map(len, self.held)) >= _HELD:
                        return
                    continue
                self._between.passed(len(data), up=up)
                await loop.sock_sendall(target, data)
        if not self.silent:
            with suppress(OSError):
                target.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        for way in self._ways:
            way.cancel()

    def close(self) -> None:
        self.stop()
        for end in (self.near, self.far):
            # Not before the loop has let go of it.
            asyncio.get_running_loop().call_soon(end.close)

    def will_reset(self, end: socket.socket) -> None:
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Between:
    """The proxy's own process."""

    def __init__(self, host: str, port: int, *, tunnels: bool) -> None:
        self._place = host, port
        self._tunnels = tunnels
        self.open = asyncio.Event()
        self.open.set()
        self._pairs: set[_Pair] = set()
        self._others: set[asyncio.Task[None]] = set()
        self._came = asyncio.Event()
        self.connections = self.up = self.down = self.late = 0

    def passed(self, size: int, *, up: bool) -> None:
        if up:
            self.up += size
        else:
            self.down += size

    async def accept(self, listener: socket.socket) -> None:
        while True:
            near, _ = await asyncio.get_running_loop().sock_accept(listener)
            self._keep(self._connect(near))

    def _keep(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def _connect(self, near: socket.socket) -> None:
        near.setblocking(False)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        far = socket.socket()
        far.setblocking(False)
        try:
            if not self._tunnels and await self._is_tunnel(near):
                await loop.sock_sendall(near, _REFUSAL)
                raise ConnectionRefusedError
            await loop.sock_connect(far, self._place)
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            near.close()
            far.close()
            return
        pair = _Pair(self, near, far)
        self._pairs.add(pair)
        self.connections += 1
        self._came.set()
        try:
            await pair.run()
        finally:
            self._pairs.discard(pair)

    async def _is_tunnel(self, near: socket.socket) -> bool:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(near, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_reader(near)
        return near.recv(8, socket.MSG_PEEK) == b"CONNECT "

    async def cut(self, kind: Cut) -> None:
        pairs, self._pairs = self._pairs, set()
        if kind == "late":
            for pair in pairs:
                pair.holding = True
            await asyncio.sleep(_GATHER_SECONDS)
        self._came.clear()
        for pair in pairs:
            if kind in {"reset", "end"}:
                if kind == "reset":
                    pair.will_reset(pair.near)
                    pair.will_reset(pair.far)
                pair.close()
                continue
            pair.silent = True
            pair.stop()
            kept, lost = (pair.near, pair.far) if kind == "far" else (pair.far, pair.near)
            pair.will_reset(lost)
            asyncio.get_running_loop().call_soon(lost.close)
            self._keep(self._linger(pair, kept))

    async def _linger(self, pair: _Pair, kept: socket.socket) -> None:
        """Keeps one end open and silent; what was held goes there once the client has come back."""
        loop = asyncio.get_running_loop()
        if pair.held:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), _SILENT_SECONDS)
            data = b"".join(pair.held)
            half = len(data) // 2
            with suppress(OSError):
                # Some of it at once, while the new connection is being made, and some when that is long in use.
                await loop.sock_sendall(kept, data[:half])
                await asyncio.sleep(0.2)
                await loop.sock_sendall(kept, data[half:])
                self.late += len(data)
                await asyncio.sleep(0.2)
        else:
            await asyncio.sleep(_SILENT_SECONDS)
        kept.close()

    async def obey(self, command: dict[str, Any]) -> dict[str, int]:
        if command["do"] == "cut":
            await self.cut(command["kind"])
        elif command["do"] == "stall":
            self.open.clear()
            asyncio.get_running_loop().call_later(command["seconds"], self.open.set)
        return {"connections": self.connections, "up": self.up, "down": self.down, "late": self.late}


async def _serve(server: str, *, tunnels: bool) -> None:
    host, _, port = server.rpartition(":")
    between = _Between(host, int(port), tunnels=tunnels)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    accepting = asyncio.create_task(between.accept(listener))
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        sys.stdout.write(json.dumps(await between.obey(json.loads(line))) + "\n")
        sys.stdout.flush()
    accepting.cancel()


def main() -> None:
    """``python -m tests.faults.proxy HOST:PORT``: says its port; then obeys lines of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.proxy")
    parser.add_argument("server")
    parser.add_argument("--no-tunnels", dest="tunnels", action="store_false")
    options = parser.parse_args()
    asyncio.run(_serve(options.server, tunnels=options.tunnels))


if __name__ == "__main__":
    main()
