"""The link that the other tests and the figures put between a client and a server."""

from __future__ import annotations

import random
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from bench.link import link

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 30.0


class Far:
    """What is at the far end: a listening socket."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(SECONDS)
        self.place = f"127.0.0.1:{self.listener.getsockname()[1]}"

    def through(self, port: int) -> tuple[socket.socket, socket.socket]:
        near = socket.create_connection(("127.0.0.1", port), SECONDS)
        far, _ = self.listener.accept()
        far.settimeout(SECONDS)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return near, far


@pytest.fixture
def far() -> Iterator[Far]:
    far = Far()
    yield far
    far.listener.close()


def received(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(("round_trip", "megabits"), [(0.0, None), (0.01, None), (0.01, 400.0), (0.0, 400.0)])
def test_every_byte_arrives_in_order_and_is_counted(far: Far, round_trip: float, megabits: float | None) -> None:
    with link(far.place, round_trip=round_trip, megabits=megabits) as between:
        one, other = far.through(between.port)
        with one, other:
            up, down = random.Random(0).randbytes(3_000_000), random.Random(1).randbytes(1_000_000)
            senders = [
                threading.Thread(target=lambda end=end, data=data: (end.sendall(data), end.shutdown(socket.SHUT_WR)))
                for end, data in ((one, up), (other, down))
            ]
            for sender in senders:
                sender.start()
            assert received(other) == up
            assert received(one) == down
            for sender in senders:
                sender.join(SECONDS)
        counts = between.counts()
        assert (counts.up, counts.down) == (len(up), len(down))


def test_a_round_trip_takes_its_time_and_can_be_changed(far: Far) -> None:
    with link(far.place, round_trip=0.05) as between:
        one, other = far.through(between.port)
        with one, other:
            assert echo(one, other) >= 0.05
            between.become(round_trip=0.1)
            assert echo(one, other) >= 0.1
            between.become(round_trip=0.0)
            assert min(echo(one, other) for _ in range(50)) < 0.05


def echo(one: socket.socket, other: socket.socket) -> float:
    started = time.monotonic()
    one.sendall(b"there")
    assert other.recv(5, socket.MSG_WAITALL) == b"there"
    other.sendall(b"back")
    assert one.recv(4, socket.MSG_WAITALL) == b"back"
    return time.monotonic() - started


def test_no_more_passes_than_the_bandwidth_lets_through(far: Far) -> None:
    size = 1_000_000
    with link(far.place, megabits=40) as between:
        one, other = far.through(between.port)
        with one, other:
            started = time.monotonic()
            sender = threading.Thread(target=lambda: (one.sendall(bytes(size)), one.shutdown(socket.SHUT_WR)))
            sender.start()
            assert len(received(other)) == size
            assert time.monotonic() - started >= size * 8 / 40e6
            sender.join(SECONDS)


def test_it_holds_no_more_than_is_under_way(far: Far) -> None:
    with link(far.place, round_trip=0.2, megabits=8) as between:
        one, other = far.through(between.port)
        with one, other:
            one.settimeout(0.2)
            started = time.monotonic()
            with suppress(TimeoutError):
                one.sendall(bytes(16 << 20))
            held = between.counts().up - (time.monotonic() - started) * 1e6
            # Half a round trip, what a router holds, and what came with the last read.
            assert held < 0.1 * 1e6 + (512 << 10)


def test_a_connection_that_is_cut_is_cut_at_both_ends(far: Far) -> None:
    with link(far.place, round_trip=0.02) as between:
        one, other = far.through(between.port)
        with other:
            one.sendall(b"last words")
            one.close()
            assert received(other) == b"last words"
        far.listener.close()
        with socket.create_connection(("127.0.0.1", between.port), SECONDS) as refused:
            assert refused.recv(1) == b""
