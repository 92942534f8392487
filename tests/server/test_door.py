"""The server's port: what is passed on from it to whom, and what isn't."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_server.front import door as door_module
from skytorch_server.front.door import Door
from skytorch_wire import service_pb2
from skytorch_wire.records import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Client, Connect, ServerProcess, StartServer

    from skytorch_wire import sessions_pb2

OK = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture
def created(alice: Client) -> sessions_pb2.CreateSessionResponse:
    return alice.create()


@pytest.fixture
def tunnel(created, connect: Connect, server: ServerProcess) -> Client:
    """What anybody gets who knows the name of a session's tunnel, and nothing else."""
    return through(connect, created, server)


def through(connect: Connect, created: sessions_pb2.CreateSessionResponse, server: ServerProcess) -> Client:
    client = connect(server.target)
    client.local, client.door = True, server.target
    return client


def said(target: str, request: bytes) -> bytes:
    """All that the port answers to some bytes, until it closes the connection."""
    host, _, port = target.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while more := connection.recv(4096):
            answer += more
        return answer


def test_a_tunnel_demands_the_session_s_secret(created, tunnel: Client, refused) -> None:
    with refused(grpc.StatusCode.PERMISSION_DENIED, "secret"):
        tunnel.stream(created, attach_secret=b"guess").response()
    assert tunnel.stream(created).response().attached.boot_id == created.boot_id


def test_a_tunnel_takes_the_stream_alone(created, tunnel: Client) -> None:
    request = f"CONNECT {created.endpoints[-1].tunnel}:1 HTTP/1.1\r\n\r\n".encode()
    # gRPC's own preface is a message of more than a stranger may send.
    answer = said(tunnel.door, request + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    ended = service_pb2.StreamResponse.FromString(answer.removeprefix(OK)[4:]).ended
    assert ended.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"CONNECT 0123456789abcdef:443 HTTP/1.1\r\n\r\n", b"404"),
        (b"CONNECT ..%2f:443 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT ../front:443 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT one:two HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT one:443 HTTP/2\r\n\r\n", b"400"),
        (b"CONNECT " + b"a" * 8000, b"400"),
        (b"CONNECT one:443 HTTP/1.1\r\n" + b"Header: value\r\n" * 400 + b"\r\n", b"400"),
    ],
)
def test_what_is_no_tunnel_is_refused(server: ServerProcess, request_: bytes, status: bytes) -> None:
    answer = said(server.target, request_)
    assert answer.startswith(b"HTTP/1.1 " + status)


def test_a_session_s_id_is_not_the_name_of_its_tunnel(created, server: ServerProcess) -> None:
    request = f"CONNECT {created.session.session_id}:443 HTTP/1.1\r\n\r\n".encode()
    assert said(server.target, request).startswith(b"HTTP/1.1 404")


def test_there_is_no_tunnel_to_a_session_that_ended(alice: Client, created, server: ServerProcess) -> None:
    request = f"CONNECT {created.endpoints[-1].tunnel}:443 HTTP/1.1\r\n\r\n".encode()
    alice.close_session(created.session.session_id)
    assert said(server.target, request).startswith(b"HTTP/1.1 404")


def test_a_tunnel_ends_with_its_session(alice: Client, created, tunnel: Client, refused) -> None:
    stream = tunnel.stream(created)
    stream.response()
    alice.close_session(created.session.session_id)
    with pytest.raises((AssertionError, ConnectionError), match=r"hung up|reset"):
        for _ in stream.call:
            pass


def test_a_server_with_open_tunnels_stops(start_server: StartServer, connect: Connect, refused) -> None:
    server = start_server()
    created = connect(server.target).create()
    stream = through(connect, created, server).stream(created)
    stream.send(Writer().define_device(0, "cpu", 0).take(), 1)
    stream.response()
    idle = socket.create_connection(("127.0.0.1", int(server.target.rpartition(":")[2])))
    with idle:
        assert server.stop() == 0
        with pytest.raises((AssertionError, ConnectionError), match=r"hung up|reset"):
            for _ in stream.call:
                pass


def test_nobody_learns_of_sockets_where_that_was_said(start_server: StartServer, connect: Connect) -> None:
    server = start_server("--no-direct")
    created = connect(server.target).create()
    (endpoint,) = created.endpoints
    assert (endpoint.address, endpoint.nonce_path, endpoint.nonce) == ("", "", b"")
    stream = through(connect, created, server).stream(created)
    assert stream.response().attached.boot_id == created.boot_id
    assert server.stop() == 0


class Room:
    """A door of this process, and the socket of what is behind it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "behind"
        self.behind = socket.socket(socket.AF_UNIX)
        self.behind.bind(str(self.path))
        self.behind.listen()
        self.behind.settimeout(30)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._door: Door = self._run(self._open(listener))

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def tunnel(self) -> tuple[socket.socket, socket.socket]:
        """Both ends of a new connection through the door."""
        outside = self.connect()
        outside.sendall(b"CONNECT session:1 HTTP/1.1\r\n\r\n")
        inside, _ = self.behind.accept()
        inside.settimeout(30)
        assert outside.recv(len(OK), socket.MSG_WAITALL) == OK
        return outside, inside

    def connections(self) -> int:
        return len(self._door._open) + len(self._door._entering)

    def close(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
        self.behind.close()

    async def _open(self, listener: socket.socket) -> Door:
        door = Door(self.path, lambda name: self.path if name == "session" else None)
        door.listen([listener])
        return door

    async def _close(self) -> None:
        self._door.close()
        await asyncio.sleep(0)

    def _run(self, what):
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)


@pytest.fixture
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    room = Room(tmp_path_factory.mktemp("d"))
    yield room
    room.close()


def received(connection: socket.socket) -> bytes:
    """Everything until the other end says that no more will come."""
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def test_bytes_go_both_ways_and_each_way_ends_by_itself(room: Room, until) -> None:
    outside, inside = room.tunnel()
    with outside, inside:
        data = bytes(range(256)) * 20_000
        sender = threading.Thread(target=lambda: (outside.sendall(data), outside.shutdown(socket.SHUT_WR)))
        sender.start()
        assert received(inside) == data
        sender.join()
        inside.sendall(data[:100_000])
        inside.shutdown(socket.SHUT_WR)
        assert received(outside) == data[:100_000]
    until(lambda: room.connections() == 0, "the door has let go of it")


@pytest.mark.parametrize("works", [(), ("in",)], ids=["not at all", "only into pipes"])
def test_a_kernel_that_splices_no_sockets_copies(
    room: Room, monkeypatch: pytest.MonkeyPatch, works: tuple[str, ...]
) -> None:
    splice, refused = os.splice, []

    def partly(source: int, target: int, size: int, flags: int) -> int:
        if ("in" if stat.S_ISFIFO(os.fstat(target).st_mode) else "out") in works:
            return splice(source, target, size, flags=flags)
        refused.append(target)
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "splice", partly)
    outside, inside = room.tunnel()
    with outside, inside:
        data = bytes(range(256)) * 20_000
        sender = threading.Thread(target=lambda: (outside.sendall(data), outside.shutdown(socket.SHUT_WR)))
        sender.start()
        assert received(inside) == data
        sender.join()
    assert refused


def test_what_is_not_taken_stays_with_its_sender(room: Room) -> None:
    outside, inside = room.tunnel()
    with outside, inside:
        outside.settimeout(0.5)
        sent = 0
        with suppress(TimeoutError):
            while sent < 64 << 20:
                sent += outside.send(bytes(1 << 16))
        assert sent < 64 << 20
        inside.settimeout(30)
        got = 0
        while got < sent:
            got += len(inside.recv(1 << 20))
        outside.settimeout(30)
        outside.sendall(b"end")
        assert inside.recv(3, socket.MSG_WAITALL) == b"end"


def test_a_client_that_vanishes_takes_its_connection_along(room: Room, until) -> None:
    outside, inside = room.tunnel()
    with inside:
        outside.close()
        assert received(inside) == b""
    until(lambda: room.connections() == 0, "the door has let go of it")


def test_what_comes_with_the_request_is_passed_on_after_it(room: Room) -> None:
    with room.connect() as outside:
        outside.sendall(b"CONNECT session:1 HTTP/1.1\r\nHost: session\r\n\r\nmore")
        inside, _ = room.behind.accept()
        with inside:
            assert inside.recv(4, socket.MSG_WAITALL) == b"more"


def test_a_request_in_pieces_is_one_request(room: Room) -> None:
    with room.connect() as outside:
        outside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"CON", b"NECT session:1 HT", b"TP/1.0\r\n", b"\r\n"):
            outside.sendall(piece)
        assert outside.recv(len(OK), socket.MSG_WAITALL) == OK


def test_whoever_says_nothing_is_shown_out(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_HEAD_SECONDS", 0.05)
    with room.connect() as silent, room.connect() as slow:
        slow.sendall(b"CONNECT session")
        assert silent.recv(1) == b""
        assert slow.recv(1) == b""


def test_more_connections_than_it_holds_are_not_let_in(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_CONNECTIONS", 1)
    outside, inside = room.tunnel()
    with outside, inside:
        with room.connect() as turned_away:
            assert turned_away.recv(1) == b""
        outside.sendall(b"still here")
        assert inside.recv(10, socket.MSG_WAITALL) == b"still here"
