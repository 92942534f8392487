"""The yardstick for data over the network: a plain gRPC stream of raw bytes, served by another process over TCP.

What sky is compared with has to be what gRPC itself can do here: the same kind of server (grpc.aio), the same chunk
size as the server's default (1 MiB), identity serializers, and a payload that lies ready as `bytes`. Nothing is
allocated, copied or computed on either side.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CHUNK = 1 << 20
SERVICE = "raw.Stream"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


async def _take(chunks: AsyncIterator[bytes], _context: object) -> bytes:
    received = 0
    async for chunk in chunks:
        received += len(chunk)
    return str(received).encode()


async def _give(request: bytes, _context: object) -> AsyncIterator[bytes]:
    chunk = bytes(CHUNK)
    for _ in range(int(request)):
        yield chunk


async def _serve(address: str) -> None:
    server = grpc.aio.server(options=OPTIONS)
    handlers = {
        "Take": grpc.stream_unary_rpc_method_handler(_take),
        "Give": grpc.unary_stream_rpc_method_handler(_give),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(address)
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0)


class RawStream:
    """The client's side."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._take = channel.stream_unary(f"/{SERVICE}/Take")
        self._give = channel.unary_stream(f"/{SERVICE}/Give")
        self._chunk = bytes(CHUNK)

    def up(self, size: int) -> float:
        """Seconds to send `size` bytes and hear that they arrived."""
        started = time.perf_counter()
        received = int(self._take((self._chunk for _ in range(size // CHUNK)), timeout=60))
        duration = time.perf_counter() - started
        _expect(size, received)
        return duration

    def down(self, size: int) -> float:
        """Seconds to receive `size` bytes."""
        started = time.perf_counter()
        received = sum(len(chunk) for chunk in self._give(str(size // CHUNK).encode(), timeout=60))
        duration = time.perf_counter() - started
        _expect(size, received)
        return duration


def _expect(size: int, received: int) -> None:
    if received != size:
        raise RuntimeError(f"the raw stream moved {received} of {size} bytes")


@contextmanager
def raw_stream() -> Iterator[RawStream]:
    """A stream to a server process that lives as long as the context."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    server = subprocess.Popen([sys.executable, "-m", "bench.raw_stream", address])
    try:
        with grpc.insecure_channel(address, options=OPTIONS) as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
            yield RawStream(channel)
    finally:
        server.terminate()
        server.wait(timeout=10)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
