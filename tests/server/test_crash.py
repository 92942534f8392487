"""Processes that die take nobody along, and leave nothing behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import sessions_pb2
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from conftest import Client, Connect, StartServer

ONES = View(1, "uint8", [4])


def write_and_read() -> bytes:
    return Writer().define_device(0, "cpu", 0).ensure(ONES, 0).write(1, 0, b"\x01\x02\x03\x04").read(ONES).take()


@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "direct"])
def test_a_killed_worker_is_a_crashed_session_and_nothing_else(
    alice: Client, connect: Connect, refused, relayed: bool
) -> None:
    doomed, other = alice.create("doomed"), alice.create("other")
    streams = []
    for created in (doomed, other):
        client = alice if relayed else connect(created.endpoints[0].address)
        stream = client.stream(created)
        stream.response()
        stream.send(write_and_read(), 4)
        assert next(stream.replies()).data == b"\x01\x02\x03\x04"
        streams.append(stream)
    watch = alice.sessions.Watch(sessions_pb2.WatchSessionsRequest(), metadata=alice.metadata, timeout=60)
    assert next(watch).session.state == sessions_pb2.SESSION_STATE_ACTIVE

    os.kill(doomed.session.pid, signal.SIGKILL)

    ended = next(event for event in watch if event.kind == sessions_pb2.SessionEvent.ENDED)
    watch.cancel()
    assert ended.session.session_id == doomed.session.session_id
    session = alice.get(doomed.session.session_id)
    assert session.state == sessions_pb2.SESSION_STATE_CRASHED
    assert "SIGKILL" in session.reason
    with refused(grpc.StatusCode.UNAVAILABLE, "SIGKILL" if relayed else ""):
        list(streams[0].replies())
    with refused(grpc.StatusCode.NOT_FOUND, "SIGKILL"):
        alice.stream(doomed, epoch=2).response()

    streams[1].send(Writer().read(ONES).take(), 1)
    assert next(streams[1].replies()).data == b"\x01\x02\x03\x04"
    assert alice.get(other.session.session_id).state == sessions_pb2.SESSION_STATE_ACTIVE
    assert not Path(doomed.endpoints[0].nonce_path).parent.exists()


def test_the_workers_of_a_killed_front_end_themselves(start_server: StartServer, connect: Connect, until) -> None:
    server = start_server()
    client = connect(server.target)
    created = client.create()
    folder = Path(created.endpoints[0].nonce_path).parent
    children = server.children()
    assert created.session.pid in children

    os.kill(server.pid, signal.SIGKILL)

    until(lambda: not any(_runs(pid) for pid in children), "its processes are gone")
    assert not folder.exists()
    assert not folder.parent.exists()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
