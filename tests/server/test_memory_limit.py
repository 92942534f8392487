"""What a session may take of the memory, as its client's records meet it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import sessions_pb2
from skytorch_wire.format import ErrorKind
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client, Connect, ServerProcess, StartServer

MIB = 1 << 20
SMALL = View(1, "uint8", [4])
LARGE = View(2, "uint8", [48 * MIB])
OTHER = View(3, "uint8", [32 * MIB])


@pytest.fixture(scope="module")
def bounded(start_server: StartServer) -> ServerProcess:
    # What a process may take beyond its limit is less where messages are small: it is reached sooner.
    return start_server("--session-memory", "64MiB", "--max-message-bytes", "2MiB")


@pytest.fixture
def client(bounded: ServerProcess, connect: Connect) -> Iterator[Client]:
    client = connect(bounded.target)
    client.local = True
    yield client
    for session in client.list():
        client.close_session(session.session_id)


def test_what_goes_over_the_limit_fails_and_the_rest_goes_on(client: Client) -> None:
    stream = client.stream(client.create())
    stream.response()
    writer = Writer().define_device(0, "cpu", 0).ensure(SMALL, 0).write(1, 0, b"\x01\x02\x03\x04").ensure(LARGE, 0)
    stream.send(writer.ensure(OTHER, 0).read(SMALL).read(OTHER).take(), 7)
    replies = stream.replies()
    error, small, poisoned = next(replies), next(replies), next(replies)
    assert small.data == b"\x01\x02\x03\x04"
    for one in (error, poisoned):
        assert one.kind is ErrorKind.OUT_OF_MEMORY
        assert "tried to allocate 32.00 MiB" in one.message
        assert "limit of this session is 64.00 MiB" in one.message
        assert "--session-memory" in one.message
    # What is given back can be had again.
    stream.send(Writer().free(2).free(3).ensure(OTHER, 0).read(View(3, "uint8", [2])).take(), 4)
    assert len(next(replies).data) == 2


def test_another_session_has_a_limit_of_its_own(client: Client) -> None:
    for created in (client.create(), client.create(memory_bytes=1 << 40)):
        assert created.session.memory_bytes == 64 * MIB
        stream = client.stream(created)
        stream.response()
        stream.send(Writer().define_device(0, "cpu", 0).ensure(LARGE, 0).read(View(2, "uint8", [1])).take(), 3)
        assert len(next(stream.replies()).data) == 1


def test_a_process_that_takes_more_in_another_way_is_killed_and_no_other(client: Client, refused) -> None:
    bystander = client.stream(client.create())
    bystander.response()
    created = client.create("greedy", memory_bytes=MIB)
    stream = client.stream(created)
    stream.response()
    watch = client.sessions.Watch(sessions_pb2.WatchSessionsRequest(), timeout=60)
    # Storages without a byte: only what the process remembers of each takes memory.
    stream.send(Writer().define_device(0, "cpu", 0).take(), 1)
    per_frame = 50_000
    for frame in range(100):
        writer = Writer()
        for number in range(per_frame):
            writer.ensure(View(1 + frame * per_frame + number, "uint8", [0]), 0)
        stream.send(writer.take(), per_frame)
        if client.get(created.session.session_id).state != sessions_pb2.SESSION_STATE_ACTIVE:
            break
    ended = next(event for event in watch if event.kind == sessions_pb2.SessionEvent.ENDED)
    watch.cancel()
    assert ended.session.session_id == created.session.session_id
    assert ended.session.state == sessions_pb2.SESSION_STATE_CRASHED
    assert "killed: memory limit of 1 MiB exceeded (used " in ended.session.reason
    assert "--session-memory raises it" in ended.session.reason
    with refused(grpc.StatusCode.NOT_FOUND, "killed: memory limit"):
        client.call(client.sessions.KeepAlive, sessions_pb2.KeepAliveRequest(session_id=created.session.session_id))
    bystander.send(Writer().define_device(0, "cpu", 0).ensure(SMALL, 0).read(SMALL).take(), 3)
    assert len(next(bystander.replies()).data) == 4


def test_a_crashed_session_says_by_which_signal_and_in_which_op(client: Client) -> None:
    created = client.create()
    stream = client.stream(created)
    stream.response()
    writer = Writer().define_device(0, "cpu", 0).ensure(SMALL, 0).ask("aten::zero_", [Writer().tensor(SMALL)], [])
    stream.send(writer.take(), 3)
    next(stream.replies())
    watch = client.sessions.Watch(sessions_pb2.WatchSessionsRequest(), timeout=60)
    next(watch)
    os.kill(created.session.pid, signal.SIGSEGV)
    ended = next(event for event in watch if event.kind == sessions_pb2.SessionEvent.ENDED)
    watch.cancel()
    assert ended.session.state == sessions_pb2.SESSION_STATE_CRASHED
    assert ended.session.reason == "its process was ended by SIGSEGV; the last op was aten::zero_"
