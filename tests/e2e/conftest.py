"""JupyterLab with the extension, in a process of its own, and a browser that looks at it."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import nbformat
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.processes import process

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "jupyter_skytorch/labextension"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The first connection on a machine compiles native code; nothing here waits for the time to run out.
PATIENCE = 60.0

KERNEL_READY = """async () => {
    const context = window.jupyterapp.shell.currentWidget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
}"""

expect.set_options(timeout=PATIENCE * 1000)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Whether a request to `url` is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 (http, to a process of this test)
            return bool(answer.status == 200)
    except OSError:
        return False


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    root: Path
    log: Path

    def notebook(self, name: str, *cells: str) -> str:
        """Writes a notebook and returns its name."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.root / name)
        return name

    def open(self, page: Page, notebook: str = "") -> None:
        """Loads JupyterLab, with a notebook if there is one to open."""
        page.goto(f"{self.url}lab{'/tree/' if notebook else ''}{notebook}?reset&token={self.token}")
        page.locator("#jupyterlab-splash").wait_for(state="detached", timeout=PATIENCE * 1000)
        if notebook:
            page.locator(".jp-NotebookPanel").wait_for()
            # Cells that are run before the kernel has answered for the first time are not run at all.
            page.evaluate(KERNEL_READY)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """JupyterLab with nothing of the person who runs the tests."""
    if not (BUNDLE / "package.json").exists():
        pytest.fail("the sidebar is not built, run: cd labextension && jlpm install && jlpm build:prod")
    # The path of a Unix socket has a limit, so this is not in pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="sky-") as name:
        folder = Path(name)
        env = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
        for place in (*env.values(), folder / "root", folder / "labextensions", folder / "config/labconfig"):
            Path(place).mkdir(mode=0o700)
        (folder / "labextensions/jupyter-skytorch").symlink_to(BUNDLE)
        quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
        (folder / "config/labconfig/default_setting_overrides.json").write_text(json.dumps(quiet))
        env["JUPYTER_CONFIG_PATH"] = str(ROOT / "jupyter-config")
        token, log, port = secrets.token_hex(16), folder / "lab.log", free_port()
        (folder / "config/jupyter_server_config.json").write_text(
            json.dumps({"IdentityProvider": {"token": token}, "ServerApp": {"root_dir": str(folder / "root")}})
        )
        options = [
            "--no-browser",
            "--allow-root",
            f"--port={port}",
            "--port-retries=0",
            f"--LabApp.extra_labextensions_path={folder}/labextensions",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]
        with process(sys.executable, "-m", "jupyterlab", *options, log=log, env=env) as running:
            url = f"http://127.0.0.1:{port}/"
            deadline = time.monotonic() + PATIENCE
            while not answers(f"{url}skytorch/api/status?token={token}"):
                assert running.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield Lab(url, token, folder / "root", log)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail("chromium is not installed, run: apt-get install -y chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, headless=True, args=BROWSER_FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a person who was never here before; the test fails if it logs an error of the extension."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE * 1000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    # A page that closes under a request being answered would fail the next test.
    opened.unroute_all(behavior="wait")
    context.close()
    assert not errors


class TorchServer:
    """A torch server on a port of this machine, that can be killed and started again."""

    def __init__(self, log: Path) -> None:
        self._port = free_port()
        self._log = log
        self._running: subprocess.Popen[bytes] | None = None
        self.address = f"grpc://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns when it is serving."""
        command = [sys.executable, "-m", "skytorch_server", "--host", "127.0.0.1", "--port", str(self._port)]
        with self._log.open("ab") as output:
            self._running = subprocess.Popen(command, stdout=output, stderr=output)
        with grpc.insecure_channel(f"127.0.0.1:{self._port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=PATIENCE)

    def kill(self) -> None:
        """Leaves it no time for anything."""
        if self._running is not None:
            self._running.kill()
            self._running.wait(timeout=15)


@pytest.fixture
def torch_server(tmp_path: Path) -> Iterator[TorchServer]:
    """A running torch server."""
    server = TorchServer(tmp_path / "server.log")
    server.start()
    yield server
    server.kill()
