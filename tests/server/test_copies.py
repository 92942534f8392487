"""Where a server sends tensors to, and how what it finds there may go wrong."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from skytorch_server.copy_targets import CopyTargets, copy_patterns
from skytorch_wire import service_pb2, sessions_pb2
from skytorch_wire.format import ErrorKind, Sent
from skytorch_wire.records import Writer
from skytorch_wire.replies import ErrorReply
from tests.server.copying import DATA, SECONDS, SECRET, SIZE, VIEW, Session, at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Client, Connect, StartServer


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="f-") as folder:
        yield Path(folder)


@pytest.fixture
def one(alice: Client) -> Session:
    return Session(alice)


@pytest.fixture
def other(bob: Client) -> Session:
    return Session(bob)


def test_a_server_connects_to_no_socket_that_is_none_of_a_server(one: Session, other: Session, short: Path) -> None:
    one.hold()
    folder = short / "skytorch-abcdefgh" / "0123456789abcdef"
    folder.mkdir(parents=True, mode=0o700)
    paths = {
        "elsewhere": short / "s",
        "of another name": folder / "d",
        "in a folder that others can enter": folder / "c",
    }
    listeners = []
    for path in paths.values():
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        listeners.append(listener)
    folder.parent.chmod(0o755)
    others = [str(path) for path in paths.values()]
    stream = other.intake_socket.removesuffix("c") + "l"
    up = f"{other.intake_socket.rpartition('/')[0]}/../{other.intake_socket.split('/')[-2]}/c"
    assert Path(stream).is_socket()
    for path in [*others, stream, up, "/run/docker.sock", "c", "\0abstract", "/" * 300]:
        sent, why = one.bring(service_pb2.CopyDestination(socket=path))
        assert (sent, why) == (Sent.NO_WAY, "the other server has no port that this one could reach")
    for listener in listeners:
        with pytest.raises(BlockingIOError):
            listener.accept()
        listener.close()
    assert one.works()


@pytest.fixture(scope="module")
def allowed(start_server: StartServer) -> Iterator[str]:
    """A server that may connect to anything on this machine."""
    server = start_server("--host", "127.0.0.1", "--copy-to", "127.0.0.1, localhost,[::1]")
    yield server.target
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture
def bold(allowed: str, connect: Connect) -> Iterator[Session]:
    client = connect(allowed)
    yield Session(client)
    for session in client.list():
        client.close_session(session.session_id)


def through(target: str, session: Session) -> service_pb2.CopyDestination:
    host, _, port = target.rpartition(":")
    return service_pb2.CopyDestination(host=host, port=int(port), intake=session.intake)


def test_a_tensor_goes_through_another_servers_port(bold: Session, other: Session, server: Any) -> None:
    bold.hold()
    for ticket in (1, 2):
        other.expect(ticket)
        assert bold.bring(through(server.target, other), ticket) == (Sent.ARRIVED, "")
        assert other.received(ticket) == DATA


def test_a_server_connects_only_to_where_it_may(one: Session, bold: Session, server: Any) -> None:
    """By default to no port at all."""
    one.hold()
    sent, why = one.bring(through(server.target, bold))
    assert (sent, why) == (Sent.NO_WAY, f"the server may not connect to {server.target} (--copy-to)")
    bold.hold()
    for host in ("127.0.0.2", "169.254.169.254", "localhost.example", "127.0.0.1.example"):
        sent, why = bold.bring(service_pb2.CopyDestination(host=host, port=80, intake="00"))
        assert (sent, why) == (Sent.NO_WAY, f"the server may not connect to {host}:80 (--copy-to)")
    here = "127.0.0.1"
    for host, port, intake in [(here, 0, "00"), (here, 1, "x\r\n"), ("a b", 1, "00"), (here, 1, "")]:
        sent, why = bold.bring(service_pb2.CopyDestination(host=host, port=port, intake=intake))
        assert sent is Sent.NO_WAY
    assert one.works()
    assert bold.works()


MATCHES = [
    ("10.0.0.*", "10.0.0.7", True),
    ("10.0.0.*", "10.0.0.elsewhere.org", False),
    ("*", "10.0.0.7", True),
    ("*", "anything.example", True),
    ("*.team.svc.cluster.local:50051", "gpu.Team.svc.cluster.local", True),
    ("*.team.svc.cluster.local:50051", "gpu.team.svc.cluster.local.example", False),
    ("*.team.svc.cluster.local:50052", "gpu.team.svc.cluster.local", False),
    ("[fd00::*]", "fd00::7", True),
    ("[fd00::*]", "fd01::7", False),
    ("a.example, b.example", "b.example", True),
    ("", "a.example", False),
]


@pytest.mark.parametrize(("patterns", "host", "may"), MATCHES)
def test_patterns_of_servers(patterns: str, host: str, may: bool) -> None:
    targets = CopyTargets(copy_patterns(patterns))
    assert (targets.complaint(host, 50051, encrypted=True) == "") is may
    assert targets.complaint(host, 50051, encrypted=False) != ""
    assert (CopyTargets(copy_patterns(patterns), insecure=True).complaint(host, 50051, encrypted=False) == "") is may


def test_a_tunnel_of_a_stream_is_no_intake(bold: Session, other: Session, server: Any) -> None:
    bold.hold()
    other.expect()
    destination = through(server.target, other)
    destination.intake = next(endpoint.tunnel for endpoint in other.created.endpoints if endpoint.tunnel)
    sent, _ = bold.bring(destination)
    assert sent is Sent.BROKEN
    destination.intake = "0" * 32
    sent, why = bold.bring(destination)
    assert (sent, why) == (Sent.NO_WAY, f"{server.target} lets this server not in: the session is not there")
    assert other.works()


class Peer:
    """Something that isn't quite a server, on a port."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._behave = behave
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def destination(self) -> service_pb2.CopyDestination:
        return service_pb2.CopyDestination(host="127.0.0.1", port=self._listener.getsockname()[1], intake="00")

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            connection.settimeout(SECONDS)
            self._behave(connection)


def let_in(connection: socket.socket) -> None:
    assert connection.recv(4096).startswith(b"CONNECT 00:1 ")
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    size = int.from_bytes(connection.recv(4), "little")
    copy = service_pb2.Copy.FromString(connection.recv(size))
    assert (copy.ticket, copy.secret, copy.bytes) == (1, SECRET, SIZE)


def take_half(connection: socket.socket) -> None:
    let_in(connection)
    connection.sendall(bytes(4))
    connection.recv(SIZE // 2, socket.MSG_WAITALL)


def babble(connection: socket.socket) -> None:
    let_in(connection)
    connection.sendall(b"\xff" * 64)


def never_confirm(connection: socket.socket) -> None:
    let_in(connection)
    connection.sendall(bytes(4))
    connection.recv(SIZE, socket.MSG_WAITALL)


BEHAVIOURS = {
    "takes half": (take_half, Sent.BROKEN, "the connection between the servers broke"),
    "sends what is no answer": (babble, Sent.BROKEN, "the other server sent no answer"),
    "says not that it is there": (never_confirm, Sent.BROKEN, "the connection between the servers broke"),
    "hangs up": (lambda _: None, Sent.NO_WAY, "lets this server not in"),
    "is a web server": (lambda c: c.sendall(b"HTTP/1.1 405 No\r\n\r\n"), Sent.NO_WAY, "the session is not there"),
    "says too much": (lambda c: c.sendall(b"HTTP/1." + b"1" * 9000), Sent.NO_WAY, "lets this server not in"),
}


@pytest.mark.parametrize(("behave", "sent", "why"), BEHAVIOURS.values(), ids=BEHAVIOURS)
def test_a_server_that_goes_wrong_costs_one_copy(
    bold: Session, behave: Callable[[socket.socket], None], sent: Sent, why: str
) -> None:
    bold.hold()
    found, told = bold.bring(Peer(behave).destination)
    assert found is sent, told
    assert why in told
    assert "\n" not in told
    assert bold.works()


def test_a_copy_that_gets_nowhere_is_cancelled(bold: Session) -> None:
    reached, done = threading.Event(), threading.Event()

    def stand_still(connection: socket.socket) -> None:
        let_in(connection)
        connection.sendall(bytes(4))
        reached.set()
        done.wait(SECONDS)

    bold.hold()
    sequence = bold.send(Writer().send(1, SECRET, Peer(stand_still).destination.SerializeToString(), VIEW), 1)
    assert reached.wait(SECONDS)
    request = sessions_pb2.CancelRequest(
        session_id=bold.created.session.session_id, from_sequence=sequence, through_sequence=sequence
    )
    bold.client.call(bold.client.sessions.Cancel, request)
    reply = next(bold.answers)
    done.set()
    assert isinstance(reply, ErrorReply)
    assert reply.kind is ErrorKind.CANCELLED
    assert bold.works()


def test_no_secret_is_in_a_log(start_server: StartServer, connect: Connect, tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    server = start_server("--log-level", "DEBUG", "--audit-log", str(audit))
    one, other = Session(connect(server.target)), Session(connect(server.target))
    secret = b"a secret of thirty-two bytes....."[:32]
    other.expect(secret=secret)
    one.hold()
    assert one.bring(at(other), secret=secret) == (Sent.ARRIVED, "")
    assert other.received() == DATA
    assert one.bring(at(other), secret=secret) == (Sent.BROKEN, "there is no such ticket")
    intakes = [one.intake, other.intake]
    assert server.stop() == 0
    told = "".join(server.log) + audit.read_text()
    connected = [
        entry for line in audit.read_text().splitlines() if (entry := json.loads(line))["event"] == "connected out"
    ]
    session = one.created.session.session_id
    assert [(entry["session"], entry["to"]) for entry in connected] == [(session, "a socket")]
    for text in [secret.decode(), secret.hex(), *intakes]:
        assert text not in told
