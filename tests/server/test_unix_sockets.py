"""A session's own sockets: how many they serve at a time, and what becomes of others."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from skytorch_wire.format import Record
from tests.server.copying import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client

STREAMS, BRINGERS = 64, 32
OPEN_SECONDS = 0.5


@pytest.fixture
def guests() -> Iterator[ExitStack]:
    """Connections that stay until the test ends."""
    with ExitStack() as stack:
        yield stack


def connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection


def served(path: str) -> bool:
    """Whether a connection that says nothing stays open."""
    with connected(path) as connection:
        connection.settimeout(OPEN_SECONDS)
        try:
            return connection.recv(1) != b""
        except TimeoutError:
            return True


def test_strangers_that_fill_a_sessions_socket_disturb_no_stream(alice: Client, guests: ExitStack, until) -> None:
    alice.local = True
    created = alice.create()
    path = next(endpoint.local_socket for endpoint in created.endpoints if endpoint.local_socket)
    stream = alice.stream(created)
    stream.response()
    strangers = [guests.enter_context(connected(path)) for _ in range(STREAMS - 1)]
    until(lambda: not served(path), "one more is refused")
    # The one that is attached works, and a newer one takes over by gRPC.
    stream.send(bytes([Record.SYNC]), 1)
    assert next(response for response in stream.call if response.executed).executed == 1
    alice.local = False
    newer = alice.stream(created, epoch=2)
    assert newer.response().attached.epoch == 2
    for stranger in strangers:
        stranger.close()
    until(lambda: served(path), "there is room again")
    alice.local = True
    assert alice.stream(created, epoch=3).response().attached.epoch == 3


def test_a_full_intake_takes_no_more_until_somebody_leaves(alice: Client, guests: ExitStack, until) -> None:
    session = Session(alice)
    bringers = [guests.enter_context(connected(session.intake_socket)) for _ in range(BRINGERS)]
    until(lambda: not served(session.intake_socket), "one more is refused")
    bringers.pop().close()
    until(lambda: served(session.intake_socket), "there is room again")
