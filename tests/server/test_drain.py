"""How a server ends that has been told to stop while its sessions are at work."""

from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from skytorch_wire import payload, pickling, sessions_pb2
from skytorch_wire.objects import adopt_records, load_record, read_loaded, save_record
from skytorch_wire.records import View, Writer
from skytorch_wire.replies import DataReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Client, Connect, LocalStream, ServerProcess, StartServer, Stream

Event = sessions_pb2.SessionEvent
HOME = View(1, "uint8", [4])


def run(function: Callable[..., Any], *args: Any) -> bytes:
    """Two records that run a function."""
    pickle = pickling.dumps((function, args, {}), lambda _thing: None)
    data = payload.joined([memoryview(json.dumps({}).encode()), *pickle])
    return Writer().function_part(0, data).function(0, [], len(data)).take()


def wait_for(began: str, go: str) -> None:
    """Runs on the server until a file is there; says by another one that it has begun."""
    Path(began).touch()
    while not Path(go).exists():
        time.sleep(0.01)


class Work:
    """A session that holds a named object, and is at a function that waits for a file."""

    def __init__(self, client: Client, folder: Path, until: Any) -> None:
        self.client = client
        self.folder = folder
        self.watch: Iterator[Any] = client.sessions.Watch(
            sessions_pb2.WatchSessionsRequest(), metadata=client.metadata, timeout=60
        )
        self.created = client.create("lab")
        assert next(self.watch).kind == Event.CREATED
        self.stream: Stream | LocalStream = client.stream(self.created)
        self.stream.response()
        self.replies = self.stream.replies()
        self.stream.send(Writer().define_device(0, "cpu", 0).ensure(HOME, 0).write(1, 0, b"old!").take(), 3)
        self.stream.send(save_record("weights", b"pickle", [HOME]), 1)
        next(self.replies)
        self.go = folder / "go"
        self.stream.send(run(wait_for, str(folder / "began"), str(self.go)), 2)
        until((folder / "began").exists, "the function runs")

    def write(self, data: bytes) -> None:
        self.stream.send(Writer().write(1, 0, data).take(), 1)

    def answered(self) -> bytes:
        """What is read after all that was issued."""
        self.stream.send(Writer().read(HOME).take(), 1)
        return next(reply.data for reply in self.replies if isinstance(reply, DataReply) and reply.total == 4)

    def told(self, kind: int) -> sessions_pb2.Session:
        return next(event.session for event in self.watch if event.kind == kind)


@pytest.fixture(params=["grpc", "local"])
def work(request, start_server: StartServer, connect: Connect, tmp_path: Path, until):
    """A server that is at work, and its work."""

    def start(*arguments: str) -> tuple[ServerProcess, Work]:
        server = start_server(*arguments)
        client = connect(server.target)
        client.local = request.param == "local"
        return server, Work(client, tmp_path, until)

    return start


def end(server: ServerProcess) -> None:
    assert server.process.wait(60) == 0, "".join(server.log)


def test_what_was_issued_is_executed_and_answered_and_its_user_is_told(work) -> None:
    server, at = work("--drain-seconds", "20")
    at.write(b"new!")
    server.process.send_signal(signal.SIGTERM)
    ending = at.told(Event.EXPIRING).expiry
    assert ending.cause == sessions_pb2.Expiry.SERVER_STOPS
    assert 10 < ending.seconds <= 20
    assert ending.soon
    at.go.touch()
    assert at.answered() == b"new!"
    ended = at.told(Event.ENDED)
    assert (ended.state, ended.reason) == (sessions_pb2.SESSION_STATE_CLOSED, "the server was stopped")
    end(server)


def test_a_server_that_drains_takes_no_more_sessions_and_no_connections(work, connect: Connect, refused) -> None:
    server, at = work()
    target = server.target
    server.process.send_signal(signal.SIGTERM)
    at.told(Event.EXPIRING)
    with refused(grpc.StatusCode.UNAVAILABLE, "shutting down"):
        at.client.create()
    with refused(grpc.StatusCode.UNAVAILABLE):
        connect(target).create()
    at.go.touch()
    end(server)


def test_a_checkpoint_holds_what_was_issued_before(
    work, start_server: StartServer, connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    server, at = work("--checkpoint-dir", str(folder))
    at.write(b"new!")
    server.process.send_signal(signal.SIGTERM)
    at.told(Event.EXPIRING)
    at.go.touch()
    end(server)
    assert restored(start_server("--checkpoint-dir", str(folder)), connect) == b"new!"


def test_what_does_not_end_is_cut_off_and_what_has_a_name_is_written(
    work, start_server: StartServer, connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    server, at = work("--checkpoint-dir", str(folder), "--drain-seconds", "8")
    at.write(b"new!")
    server.process.send_signal(signal.SIGTERM)
    end(server)
    server.wait_for_log("1 sessions were still at work")
    # The function was interrupted; what is no work, as a write, is done all the same.
    assert restored(start_server("--checkpoint-dir", str(folder)), connect) == b"new!"


def test_a_client_that_goes_on_and_on_is_not_waited_for_longer(work) -> None:
    server, at = work("--drain-seconds", "2")
    at.go.touch()
    server.process.send_signal(signal.SIGTERM)
    with suppress(grpc.RpcError, OSError, AssertionError, StopIteration):
        while True:
            at.answered()
    end(server)


def test_a_second_signal_ends_the_waiting(work) -> None:
    server, at = work("--drain-seconds", "600")
    server.process.send_signal(signal.SIGTERM)
    at.told(Event.EXPIRING)
    server.process.send_signal(signal.SIGTERM)
    end(server)


def restored(server: ServerProcess, connect: Connect) -> bytes:
    """What the object has that the server before this one wrote."""
    client = connect(server.target)
    created = client.create("new")
    request = sessions_pb2.RestoreRequest(session_id=created.session.session_id, name="stopped-lab")
    assert list(client.call(client.sessions.Restore, request).objects) == ["weights"]
    stream = client.stream(created)
    stream.response()
    stream.send(Writer().define_device(0, "cpu", 0).take() + load_record("weights"), 2)
    replies = stream.replies()
    loaded = read_loaded(next(replies).data)
    for record in adopt_records(loaded, [1]):
        stream.send(record, 1)
    stream.send(Writer().read(HOME).take(), 1)
    data = next(replies).data
    assert server.stop() == 0
    return data
