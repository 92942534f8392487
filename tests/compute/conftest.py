"""Real servers, in processes of their own, each test's in a folder of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from bench.embedded import private_runtime
from jupyter_skytorch.compute.registry import computes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jupyter_skytorch.compute import Compute

TIMEOUT = 30.0


def until(holds: Callable[[], bool], seconds: float = TIMEOUT) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.01)


@pytest.fixture(name="until")
def _until() -> Callable[..., None]:
    return until


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh folder of runtime files; the embedded servers that are started from it end with the test."""
    with private_runtime() as folder:
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder))
        yield folder / "skytorch"
        _close_all()


@pytest.fixture(scope="module")
def module_folder() -> Iterator[Path]:
    """The folder of a module's shared server."""
    with private_runtime() as folder:
        yield folder


@pytest.fixture
def shared(module_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of runtime files whose embedded server is left to the module's next test, without sessions."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(module_folder))
    yield module_folder / "skytorch"
    _close_all()


def _close_all() -> None:
    for compute in computes().values():
        compute.close()


def embedded(runtime: Path) -> dict[str, object]:
    """What is written down about the embedded server."""
    (record,) = runtime.glob("server-*.json")
    return json.loads(record.read_text())


@pytest.fixture(name="embedded")
def _embedded() -> Callable[[Path], dict[str, object]]:
    return embedded


@dataclass
class Server:
    """A server that was started by hand, as on another machine."""

    process: subprocess.Popen[bytes]
    address: str

    def kill(self) -> None:
        """End it without a farewell."""
        self.process.kill()
        self.process.wait(TIMEOUT)


# Other arguments for Python than "-m skytorch_server", to start a server that is not quite the usual one.
OTHER_VERSION = """
import sys, skytorch_wire
skytorch_wire.PROTOCOL_VERSION = 99
from skytorch_server.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers on a port of this machine."""
    with _serving(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def serve_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """The same, for all tests of a module."""
    with _serving(tmp_path_factory.mktemp("servers")) as start:
        yield start


@contextmanager
def _serving(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*flags: str, code: str | None = None, port: int | None = None) -> Server:
        port = port or free_port()
        program = ["-c", code] if code else ["-m", "skytorch_server"]
        with (tmp_path / f"server-{port}.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, *program, "--port", str(port), *flags], stdout=log, stderr=log)
        server = Server(process, f"grpc://127.0.0.1:{port}")
        servers.append(server)
        until(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None, (tmp_path / f"server-{port}.log").read_text()
        return server

    try:
        yield start
    finally:
        for server in servers:
            if server.process.poll() is None:
                server.process.terminate()
        for server in servers:
            server.process.wait(TIMEOUT)


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(name="free_port")
def _free_port() -> int:
    return free_port()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A server's token file with one principal."""
    path = tmp_path / "tokens"
    path.write_text("# who may use the server\nada:correct-horse\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def other_version(serve: Callable[..., Server]) -> Server:
    """A server that speaks another version of the protocol."""
    return serve(code=OTHER_VERSION)


def moved(*computes: Compute) -> int:
    """Bytes of tensors and all else between this process and the servers."""
    return sum(now.bytes_up + now.bytes_down for now in (compute.session().counters() for compute in computes))
