"""A Jupyter server with the extension, and torch servers, each a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

from skytorch_wire import PROTOCOL_VERSION, service_pb2, sessions_pb2, sessions_pb2_grpc
from tests.processes import process

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

ROOT = Path(__file__).parents[2]
TOKEN = "token-of-jupyter"
# Long enough for a machine that does other things too; nothing here waits for it to run out.
PATIENCE = 60.0


def until(condition: Callable[[], Any], running: subprocess.Popen[bytes], log: Path) -> Any:
    """The first true value of `condition`; fails with the process's own words when it ends before."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert running.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return value


@dataclass
class TorchServer:
    """A running `python -m skytorch_server`."""

    address: str
    log: Path
    running: subprocess.Popen[bytes]

    async def ready(self) -> None:
        """Returns when gRPC health says SERVING."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            call = health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=PATIENCE)
            answer = await call
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, self.log.read_text()

    async def create_session(self, name: str = "local") -> sessions_pb2.CreateSessionResponse:
        """What `connect` does first."""
        capabilities = service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION)
        async with grpc.aio.insecure_channel(self.address) as channel:
            request = sessions_pb2.CreateSessionRequest(name=name, capabilities=capabilities)
            stub = sessions_pb2_grpc.SessionsStub(channel)
            return await stub.Create(request, timeout=PATIENCE)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """An empty private folder with a path short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="sky-") as name:
        yield Path(name)


@pytest.fixture
def start_server(folder: Path) -> Iterator[Callable[..., Awaitable[TorchServer]]]:
    """Starts servers of the embedded kind, on Unix socket `name`, with more arguments if needed."""
    with ExitStack() as running:

        async def start(name: str, *arguments: str) -> TorchServer:
            (folder / name).mkdir(mode=0o700, exist_ok=True)
            path, log = folder / name / "front.sock", folder / f"{name}.log"
            command = [sys.executable, "-m", "skytorch_server", "--unix-socket", str(path), *arguments]
            server = TorchServer(f"unix:{path}", log, running.enter_context(process(*command, log=log)))
            await server.ready()
            return server

        yield start


@pytest.fixture
async def torch_server(start_server: Callable[..., Awaitable[TorchServer]]) -> TorchServer:
    """A server without a token."""
    return await start_server("server")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Browser:
    """What an open panel is to the Jupyter server."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection
        self._closed = False

    async def message(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message that is `wanted`."""
        async with asyncio.timeout(PATIENCE):
            while (text := await self._connection.read_message()) is not None:
                found: dict[str, Any] = json.loads(text)
                if wanted(found):
                    return found
        raise AssertionError("the Jupyter server closed the connection")

    async def metrics(self) -> list[dict[str, Any]]:
        """The next series."""
        series: list[dict[str, Any]] = (await self.message(lambda found: found["type"] == "metrics"))["series"]
        return series

    async def compute(self, health: str) -> dict[str, Any]:
        """The only Compute, once it is in a state of health."""

        def wanted(found: dict[str, Any]) -> bool:
            return found["type"] == "state" and [c["health"]["state"] for c in found["computes"]] == [health]

        compute: dict[str, Any] = (await self.message(wanted))["computes"][0]
        return compute

    async def close(self) -> None:
        """Closes the panel, if it is not closed."""
        if self._closed:
            return
        self._closed = True
        self._connection.close()
        async with asyncio.timeout(PATIENCE):
            while await self._connection.read_message() is not None:
                pass


@dataclass
class Jupyter:
    """A running Jupyter server with the extension."""

    url: str
    log: Path
    browsers: list[Browser] = field(default_factory=list)

    async def fetch(self, path: str, token: str = TOKEN, **options: Any) -> HTTPResponse:
        """One request; does not raise for an error that the server answers with."""
        headers = {"Authorization": f"token {token}"} if token else {}
        request = HTTPRequest(self.url + path, headers=headers, request_timeout=PATIENCE, **options)
        client = AsyncHTTPClient(force_instance=True)
        try:
            return await client.fetch(request, raise_error=False)
        finally:
            client.close()

    async def get(self, path: str) -> Any:
        """The JSON that a route answers with."""
        answer = await self.fetch(path)
        assert answer.code == 200, self.log.read_text()
        return json.loads(answer.body)

    async def look(self, token: str = TOKEN) -> Browser:
        """Opens a panel."""
        headers = {"Authorization": f"token {token}"} if token else {}
        url = self.url.replace("http:", "ws:") + "skytorch/api/metrics"
        browser = Browser(await websocket_connect(HTTPRequest(url, headers=headers, connect_timeout=PATIENCE)))
        self.browsers.append(browser)
        return browser


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The configuration, of the Jupyter server and of this package; a module that wants another overrides it."""
    return {}


@pytest.fixture(scope="module")
def jupyter_of_module(folder: Path, config: dict[str, Any]) -> Iterator[Jupyter]:
    """A Jupyter server that finds the extension by the configuration that the package installs."""
    env = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    for place in (*env.values(), folder / "root"):
        Path(place).mkdir(mode=0o700)
    settings = {"IdentityProvider": {"token": TOKEN}, **config}
    (folder / "config/jupyter_server_config.json").write_text(json.dumps(settings))
    (folder / "config/jupyter_skytorch_config.json").write_text(json.dumps(config))
    env |= {
        "JUPYTER_CONFIG_PATH": str(ROOT / "jupyter-config"),
        "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
    }
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={free_port()}"]
    log = folder / "jupyter.log"
    with process(*command, f"--ServerApp.root_dir={folder}/root", log=log, env=env) as running:
        (found,) = until(lambda: list((folder / "runtime").glob("jpserver-*.json")), running, log)
        url = until(lambda: json.loads(found.read_text() or "{}").get("url"), running, log)
        until(lambda: _answers(f"{url}api/status?token={TOKEN}"), running, log)
        yield Jupyter(url, log)


@pytest.fixture
async def jupyter(jupyter_of_module: Jupyter, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Jupyter]:
    """The Jupyter server of the module, with this process as one of those that leave records in its runtime folder."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
    yield jupyter_of_module
    while jupyter_of_module.browsers:
        await jupyter_of_module.browsers.pop().close()
    shutil.rmtree(folder / "runtime/skytorch", ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 (http, to the process just started)
            return bool(answer.status == 200)
    except OSError:
        return False
