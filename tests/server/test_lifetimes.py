"""How long a session lives, what it asks for, what it is granted, and how its end is announced."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import sessions_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client, Connect, ServerProcess, StartServer

Expiry = sessions_pb2.Expiry
Event = sessions_pb2.SessionEvent
MIB = 1 << 20


def events(client: Client) -> Iterator[sessions_pb2.SessionEvent]:
    """What happens to the client's sessions."""
    return client.sessions.Watch(sessions_pb2.WatchSessionsRequest(), metadata=client.metadata, timeout=60)


def keep_alive(client: Client, session_id: str) -> sessions_pb2.KeepAliveResponse:
    return client.call(client.sessions.KeepAlive, sessions_pb2.KeepAliveRequest(session_id=session_id))


@pytest.fixture(scope="module")
def bounded(start_server: StartServer) -> ServerProcess:
    return start_server(
        *("--idle-timeout", "100", "--max-idle-timeout", "200", "--max-age", "50"),
        SKYTORCH_SESSION_MEMORY="64MiB",
        SKYTORCH_PENDING_RECORDS="5000",
    )


@pytest.fixture
def client(bounded: ServerProcess, connect: Connect) -> Iterator[Client]:
    client = connect(bounded.target)
    yield client
    for session in client.list():
        client.close_session(session.session_id)


def test_a_session_that_asks_for_nothing_gets_an_hour_and_no_limit(alice: Client) -> None:
    session = alice.create().session
    assert (session.lease_seconds, session.max_age_seconds, session.memory_bytes) == (3600, 0, 0)
    assert session.expiry.cause == Expiry.IDLE
    assert 3500 < session.expiry.seconds <= 3600
    assert not session.expiry.soon


def test_what_is_granted_is_stated_and_within_the_bounds(client: Client) -> None:
    plain = client.create()
    assert (plain.session.lease_seconds, plain.session.max_age_seconds) == (100, 50)
    assert plain.session.memory_bytes == 64 * MIB
    assert plain.capabilities.max_pending_records == 5000
    assert plain.capabilities.max_pending_bytes == 64 * MIB
    less = client.create(lease_seconds=20, max_age_seconds=30, memory_bytes=MIB).session
    assert (less.lease_seconds, less.max_age_seconds, less.memory_bytes) == (20, 30, MIB)
    more = client.create(lease_seconds=9e9, max_age_seconds=9e9, memory_bytes=1 << 63).session
    assert (more.lease_seconds, more.max_age_seconds, more.memory_bytes) == (200, 50, 64 * MIB)


def test_what_ends_a_session_first_is_told(client: Client) -> None:
    idle = client.create(lease_seconds=20, max_age_seconds=30).session
    assert idle.expiry.cause == Expiry.IDLE
    old = client.create(lease_seconds=30, max_age_seconds=20).session
    assert old.expiry.cause == Expiry.MAX_AGE
    assert keep_alive(client, old.session_id).expiry.cause == Expiry.MAX_AGE


@pytest.mark.parametrize(
    ("asked", "cause", "reason"),
    [
        ({"lease_seconds": 1}, Expiry.IDLE, "no heartbeat for 1 s"),
        ({"max_age_seconds": 1}, Expiry.MAX_AGE, "it reached its maximum age of 1 s"),
    ],
    ids=["idle", "maximum age"],
)
def test_an_end_is_announced_and_then_comes_on_time(alice: Client, asked: dict, cause: int, reason: str) -> None:
    watch = events(alice)
    began = time.monotonic()
    created = alice.create(**asked)
    mine = (event for event in watch if event.session.session_id == created.session.session_id)
    assert next(mine).kind == Event.CREATED
    announced = next(mine)
    assert announced.kind == Event.EXPIRING
    assert announced.session.expiry.soon
    assert announced.session.expiry.cause == cause
    assert announced.session.expiry.seconds <= 0.1
    ended = next(mine)
    watch.cancel()
    assert ended.kind == Event.ENDED
    assert time.monotonic() - began >= 1
    assert (ended.session.state, ended.session.reason) == (sessions_pb2.SESSION_STATE_EXPIRED, reason)
    assert not ended.session.HasField("expiry")


def test_an_expired_sessions_process_and_files_are_gone_at_once(alice: Client, until) -> None:
    watch = events(alice)
    created = alice.create(max_age_seconds=0.5)
    next(event for event in watch if event.kind == Event.ENDED)
    watch.cancel()
    until(lambda: not Path(f"/proc/{created.session.pid}").exists(), "its process is gone")
    until(lambda: not Path(created.endpoints[0].nonce_path).parent.exists(), "its folder is gone")


def test_a_heartbeat_takes_an_announcement_back(alice: Client) -> None:
    watch = events(alice)
    session_id = alice.create(lease_seconds=4).session.session_id
    mine = (event for event in watch if event.session.session_id == session_id)
    assert [next(mine).kind, next(mine).kind] == [Event.CREATED, Event.EXPIRING]
    assert not keep_alive(alice, session_id).expiry.soon
    renewed = next(mine)
    watch.cancel()
    assert renewed.kind == Event.CHANGED
    assert not renewed.session.expiry.soon


def test_heartbeats_do_not_stop_a_maximum_age(alice: Client) -> None:
    watch = events(alice)
    session_id = alice.create(max_age_seconds=1.5).session.session_id
    keep_alive(alice, session_id)
    mine = (event for event in watch if event.session.session_id == session_id)
    announced = next(event for event in mine if event.kind == Event.EXPIRING)
    keep_alive(alice, session_id)
    assert next(mine).session.expiry.soon
    ended = next(mine)
    watch.cancel()
    assert announced.session.expiry.cause == Expiry.MAX_AGE
    assert ended.session.reason == "it reached its maximum age of 1.5 s"


@pytest.mark.parametrize("name", ["lease_seconds", "max_age_seconds"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(alice: Client, refused, name: str, value: float) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, name):
        alice.create(**{name: value})
    assert alice.list() == []


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--session-memory", "much"], "'much' is not a size"),
        (["--session-memory", "0"], "no bytes at all"),
        (["--max-age", "0"], "is no time at all"),
        (["--pending-records", "0"], "not a positive number"),
    ],
)
def test_a_flag_that_makes_no_sense_is_refused(start_server: StartServer, flags: list[str], says: str) -> None:
    server = start_server(*flags)
    server.wait_for_log(says)
    assert server.process.wait(20) == 2
