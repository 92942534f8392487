"""Servers in processes of their own, and clients of them over real channels."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from skytorch_wire import (
    PROTOCOL_VERSION,
    metrics_pb2_grpc,
    service_pb2,
    service_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)
from skytorch_wire.replies import read_replies

if TYPE_CHECKING:
    import ssl

SECONDS = 60.0
TUNNEL_OK = b"HTTP/1.1 200 OK\r\n\r\n"
CAPABILITIES = service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION)


class ServerProcess:
    """``python -m skytorch_server`` with what it logs."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "skytorch_server", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.log: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """The first line, from now on or before, that matches."""
        for line in self.log:
            if match := re.search(pattern, line):
                return match
        while True:
            try:
                line = self._lines.get(timeout=SECONDS)
            except queue.Empty:
                pytest.fail(f"no {pattern!r} in the log:\n" + "".join(self.log))
            if not line:
                pytest.fail(f"the server ended without {pattern!r}:\n" + "".join(self.log))
            self.log.append(line)
            if match := re.search(pattern, line):
                return match

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.wait_for_log(r'listens on .*:([0-9]+)')[1]}"

    def children(self) -> list[int]:
        """The pids of its processes: the fork server, the resource tracker, and their children."""
        return _descendants(self.pid)

    def stop(self) -> int:
        """Asks it to end, and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        self._reader.join(20)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put("")


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(parents.get(pid, []))
    for child in found:
        found += parents.get(child, [])
    return found


class Stream:
    """One StreamOperations call: frames in, responses out."""

    def __init__(
        self, service: service_pb2_grpc.ServiceStub, first: bytes | service_pb2.StreamRequest, metadata: Any
    ) -> None:
        self._requests: queue.Queue[service_pb2.StreamRequest | None] = queue.Queue()
        self._requests.put(first)
        self.call = service.StreamOperations(iter(self._requests.get, None), metadata=metadata, timeout=SECONDS)
        self.sequence = 0

    def send(self, records: bytes, count: int, first: int | None = None) -> None:
        first = self.sequence + 1 if first is None else first
        self._requests.put(service_pb2.StreamRequest(first_sequence=first, records=records))
        self.sequence = first + count - 1

    def response(self) -> service_pb2.StreamResponse:
        return next(self.call)

    def replies(self) -> Iterator[Any]:
        """All of them; what arrived is acknowledged, because the server keeps the rest, and not without end."""
        for response in self.call:
            if response.number:
                self._requests.put(service_pb2.StreamRequest(replies_received=response.number))
            yield from read_replies(response.replies)

    def finish(self) -> None:
        """Half-closes: nothing more will be sent."""
        self._requests.put(None)


class LocalStream:
    """The same by the session's local socket, or by a tunnel to it through a server's port."""

    def __init__(
        self,
        endpoint: sessions_pb2.Endpoint,
        first: service_pb2.StreamRequest,
        door: str,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if door:
            host, _, port = door.rpartition(":")
            self.socket = socket.create_connection((host, int(port)), SECONDS)
            if context is not None:
                self.socket = context.wrap_socket(self.socket, server_hostname=host)
            self.socket.sendall(f"CONNECT {endpoint.tunnel}:1 HTTP/1.1\r\n\r\n".encode())
            assert self._exactly(len(TUNNEL_OK)) == TUNNEL_OK
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(SECONDS)
            self.socket.connect(endpoint.local_socket)
        self.call = self._responses()
        self.sequence = 0
        self.put(first.SerializeToString())

    send, response, replies = Stream.send, Stream.response, Stream.replies

    @property
    def _requests(self) -> LocalStream:
        return self

    def put(self, message: bytes | service_pb2.StreamRequest) -> None:
        """Sends one message, or bytes that are none."""
        data = message if isinstance(message, bytes) else message.SerializeToString()
        # The server may have hung up: what it said is to be read.
        with suppress(BrokenPipeError):
            self.socket.sendall(len(data).to_bytes(4, "little") + data)

    def _responses(self) -> Iterator[service_pb2.StreamResponse]:
        while True:
            size = int.from_bytes(self._exactly(4), "little")
            response = service_pb2.StreamResponse.FromString(self._exactly(size))
            if not response.HasField("ended"):
                yield response
            elif response.ended.code:
                raise LocalError(response.ended)
            else:
                return

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            assert part, "the server hung up"
            data += part
        return bytes(data)

    def finish(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)


class LocalError(grpc.RpcError):
    """How a local stream ended, as gRPC would tell it."""

    def __init__(self, ended: service_pb2.Ended) -> None:
        super().__init__(ended.message)
        self.ended = ended

    def code(self) -> grpc.StatusCode:
        return next(code for code in grpc.StatusCode if code.value[0] == self.ended.code)

    def details(self) -> str:
        return self.ended.message


class Client:
    """One principal's channel to a server, and stubs on it."""

    def __init__(self, target: str, token: str = "", credentials: grpc.ChannelCredentials | None = None) -> None:
        options = [("grpc.max_receive_message_length", -1)]
        self.channel = (
            grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)
        )
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self.health = health_pb2_grpc.HealthStub(self.channel)
        self.sessions = sessions_pb2_grpc.SessionsStub(self.channel)
        self.metrics = metrics_pb2_grpc.MetricsStub(self.channel)
        self.torch = service_pb2_grpc.ServiceStub(self.channel)
        self.local_streams: list[LocalStream] = []
        self.local = False
        #: Where the local streams go through.
        self.door = ""
        #: What they are encrypted with on the way.
        self.context: ssl.SSLContext | None = None

    def call(self, method: Callable[..., Any], request: Any) -> Any:
        return method(request, metadata=self.metadata, timeout=SECONDS)

    def create(self, name: str = "", **fields: Any) -> sessions_pb2.CreateSessionResponse:
        return self.call(
            self.sessions.Create, sessions_pb2.CreateSessionRequest(name=name, capabilities=CAPABILITIES, **fields)
        )

    def get(self, session_id: str) -> sessions_pb2.Session:
        return self.call(self.sessions.Get, sessions_pb2.GetSessionRequest(session_id=session_id))

    def list(self, *, include_ended: bool = False) -> list[sessions_pb2.Session]:
        request = sessions_pb2.ListSessionsRequest(include_ended=include_ended)
        return list(self.call(self.sessions.List, request).sessions)

    def close_session(self, session_id: str) -> None:
        self.call(self.sessions.Close, sessions_pb2.CloseSessionRequest(session_id=session_id))

    def stream(
        self, created: sessions_pb2.CreateSessionResponse, epoch: int = 1, **fields: Any
    ) -> Stream | LocalStream:
        """An attached stream; `fields` replace those of the right Attach."""
        attach = {
            "session_id": created.session.session_id,
            "attach_secret": created.attach_secret,
            "epoch": epoch,
            "boot_id": created.boot_id,
            "capabilities": CAPABILITIES,
            **fields,
        }
        first = service_pb2.StreamRequest(attach=service_pb2.Attach(**attach))
        if not self.local:
            return Stream(self.torch, first, self.metadata)
        return self.local_stream(created, first)

    def local_stream(
        self, created: sessions_pb2.CreateSessionResponse, first: service_pb2.StreamRequest
    ) -> LocalStream:
        stream = LocalStream(created.endpoints[-1 if self.door else 0], first, self.door, self.context)
        self.local_streams.append(stream)
        return stream

    def close(self) -> None:
        self.channel.close()
        for stream in self.local_streams:
            stream.socket.close()


StartServer = Callable[..., ServerProcess]
Connect = Callable[..., Client]


@pytest.fixture(scope="session")
def start_server() -> Iterator[StartServer]:
    """Starts servers with the arguments given, on a free port."""
    servers: list[ServerProcess] = []

    def start(*arguments: str, **environment: str) -> ServerProcess:
        said = {"--unix-socket", "--port"} & {*arguments} or "SKYTORCH_PORT" in environment
        place = () if said else ("--port", "0")
        server = ServerProcess(*place, *arguments, **environment)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests that leave it as it was. Its principals are alice and bob."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("# principals of the tests\nalice:token-of-alice\nbob:token-of-bob\n")
    tokens.chmod(0o600)
    server = start_server("--token-file", str(tokens), "--host", "127.0.0.1")
    yield server
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as stack:

        def open_client(target: str, token: str = "", credentials: grpc.ChannelCredentials | None = None) -> Client:
            client = Client(target, token, credentials)
            stack.callback(client.close)
            return client

        yield open_client


@pytest.fixture
def alice(server: ServerProcess, connect: Connect) -> Iterator[Client]:
    yield from _principal("alice", server, connect)


@pytest.fixture
def bob(server: ServerProcess, connect: Connect) -> Iterator[Client]:
    yield from _principal("bob", server, connect)


def _principal(name: str, server: ServerProcess, connect: Connect) -> Iterator[Client]:
    client = connect(server.target, f"token-of-{name}")
    yield client
    for session in client.list():
        client.close_session(session.session_id)


@contextmanager
def _refused(code: grpc.StatusCode, pattern: str = "") -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert caught.value.code() is code, caught.value
    assert re.search(pattern, caught.value.details()), caught.value.details()


@pytest.fixture
def refused() -> Callable[..., Any]:
    """A context in which a call must end with this code, and with details that match."""
    return _refused


def _until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    return pytest.fail(f"in {SECONDS:g} s it never came true that {what}")


@pytest.fixture
def until() -> Callable[[Callable[[], Any], str], Any]:
    """Waits for what no event tells: processes of others that end, files that go."""
    return _until
