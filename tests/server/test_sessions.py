"""A session's life: made, kept, listed, watched, closed, expired."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import torch

from skytorch_wire import PROTOCOL_VERSION, __version__, service_pb2, sessions_pb2

if TYPE_CHECKING:
    from conftest import Client, Connect, StartServer

ACTIVE = sessions_pb2.SESSION_STATE_ACTIVE
CLOSED = sessions_pb2.SESSION_STATE_CLOSED
EXPIRED = sessions_pb2.SESSION_STATE_EXPIRED


def test_create_tells_what_a_client_needs(alice: Client) -> None:
    created = alice.create("lab", labels={"kernel_id": "k1"}, lease_seconds=120)
    session = created.session
    assert (session.name, session.state, session.lease_seconds) == ("lab", ACTIVE, 120)
    assert dict(session.labels) == {"kernel_id": "k1"}
    assert len(created.attach_secret) >= 16
    assert created.boot_id
    assert created.capabilities.protocol_version == PROTOCOL_VERSION
    assert created.capabilities.package_version == __version__
    assert created.capabilities.torch_version == torch.__version__
    assert created.capabilities.chunk_bytes == 1 << 20
    assert created.capabilities.max_message_bytes > created.capabilities.chunk_bytes
    cpu = created.devices[0]
    assert (cpu.type, cpu.index) == ("cpu", 0)
    assert cpu.memory_bytes > 0


def test_the_nearest_endpoint_is_on_this_machine_and_ours_alone(alice: Client) -> None:
    endpoint, relayed = alice.create().endpoints
    assert relayed.address == ""
    nonce = Path(endpoint.nonce_path)
    assert nonce.read_bytes() == endpoint.nonce
    assert len(endpoint.nonce) >= 16
    folder = nonce.parent
    assert endpoint.address.startswith(f"unix:{folder}/")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_two_sessions_are_two_processes_with_two_secrets(alice: Client) -> None:
    one, two = alice.create(), alice.create()
    assert one.session.pid != two.session.pid
    assert one.attach_secret != two.attach_secret
    assert {session.session_id for session in alice.list()} == {one.session.session_id, two.session.session_id}


def test_a_closed_session_is_gone_and_says_why(alice: Client, refused, until) -> None:
    created = alice.create()
    session_id = created.session.session_id
    folder = Path(created.endpoints[0].nonce_path).parent
    alice.close_session(session_id)
    assert not folder.exists()
    until(lambda: not Path(f"/proc/{created.session.pid}").exists(), "its process is gone")
    assert alice.list() == []
    session = alice.get(session_id)
    assert (session.state, session.reason) == (CLOSED, "closed by its owner")
    assert session_id in [ended.session_id for ended in alice.list(include_ended=True)]
    with refused(grpc.StatusCode.NOT_FOUND, "has ended: closed by its owner"):
        alice.call(alice.sessions.KeepAlive, sessions_pb2.KeepAliveRequest(session_id=session_id))
    alice.close_session(session_id)


def test_a_session_lives_by_its_heartbeats(alice: Client) -> None:
    watch = alice.sessions.Watch(sessions_pb2.WatchSessionsRequest(), metadata=alice.metadata, timeout=60)
    kept, left = alice.create(lease_seconds=3600), alice.create(lease_seconds=1)
    beat = alice.call(alice.sessions.KeepAlive, sessions_pb2.KeepAliveRequest(session_id=kept.session.session_id))
    assert beat.lease_seconds == 3600
    event = next(event for event in watch if event.kind == sessions_pb2.SessionEvent.ENDED)
    watch.cancel()
    assert event.session.session_id == left.session.session_id
    assert (event.session.state, event.session.reason) == (EXPIRED, "no heartbeat for 1 s")
    assert alice.get(left.session.session_id).state == EXPIRED
    assert alice.get(kept.session.session_id).state == ACTIVE


def test_watch_tells_what_there_is_and_what_happens(alice: Client, bob: Client) -> None:
    there = alice.create("there")
    watch = alice.sessions.Watch(sessions_pb2.WatchSessionsRequest(), metadata=alice.metadata, timeout=60)
    event = sessions_pb2.SessionEvent
    first = next(watch)
    assert (first.kind, first.session.name) == (event.CREATED, "there")
    bob.create("somebody else's")
    alice.create("new")
    second = next(watch)
    assert (second.kind, second.session.name) == (event.CREATED, "new")
    alice.call(alice.sessions.KeepAlive, sessions_pb2.KeepAliveRequest(session_id=there.session.session_id))
    assert next(watch).kind == event.CHANGED
    alice.close_session(there.session.session_id)
    last = next(watch)
    assert (last.kind, last.session.state) == (event.ENDED, CLOSED)
    watch.cancel()


def test_a_client_of_another_protocol_version_is_told_so(alice: Client, refused) -> None:
    for version in (0, PROTOCOL_VERSION + 1):
        request = sessions_pb2.CreateSessionRequest(capabilities=service_pb2.Capabilities(protocol_version=version))
        with refused(grpc.StatusCode.FAILED_PRECONDITION, f"protocol version {version}.*version {PROTOCOL_VERSION}"):
            alice.call(alice.sessions.Create, request)
    assert alice.list() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "n" * 257},
        {"labels": {"k": "v" * 257}},
        {"labels": {str(number): "" for number in range(33)}},
        {"lease_seconds": -1.0},
        {"lease_seconds": float("nan")},
        {"lease_seconds": float("inf")},
    ],
)
def test_what_a_session_is_called_is_bounded(alice: Client, refused, fields: dict) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        alice.create(**fields)
    assert alice.list() == []


def test_the_number_of_sessions_is_bounded(start_server: StartServer, connect: Connect, refused) -> None:
    server = start_server("--max-sessions", "2", "--idle-timeout", "77")
    client = connect(server.target)
    first = client.create()
    assert first.session.lease_seconds == 77
    client.create()
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "limit of 2 sessions"):
        client.create()
    client.close_session(first.session.session_id)
    client.create()
    assert server.stop() == 0


def test_cancel_reaches_the_session(alice: Client, refused) -> None:
    session_id = alice.create().session.session_id
    request = sessions_pb2.CancelRequest(session_id=session_id, from_sequence=1, through_sequence=5)
    alice.call(alice.sessions.Cancel, request)
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        alice.call(
            alice.sessions.Cancel,
            sessions_pb2.CancelRequest(session_id=session_id, from_sequence=2, through_sequence=1),
        )
