"""What the round trip of a link really is: timers ring late, and processes wake up later."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .link import link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PINGS = 20
_SECONDS = 30


@contextmanager
def ping() -> Iterator[Callable[[float], float]]:
    """A function that says how many seconds one byte takes there and back over a link of a round trip in seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with (
            link(f"127.0.0.1:{listener.getsockname()[1]}") as between,
            socket.create_connection(("127.0.0.1", between.port), _SECONDS) as near,
        ):
            far, _ = listener.accept()
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            echo = threading.Thread(target=_echo, args=(far,), daemon=True)
            echo.start()

            def took(round_trip: float) -> float:
                between.become(round_trip=round_trip)
                durations = []
                for _ in range(_PINGS):
                    started = time.perf_counter()
                    near.sendall(b"!")
                    near.recv(1)
                    durations.append(time.perf_counter() - started)
                return statistics.median(durations)

            yield took
        echo.join(_SECONDS)


def _echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(1):
            connection.sendall(data)
