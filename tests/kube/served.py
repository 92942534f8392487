"""Real servers in the place of pods, which run nothing on a node that only says so."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.compute.conftest import free_port, listens

if TYPE_CHECKING:
    from pathlib import Path

    from kubernetes_asyncio import client

SECONDS = 60.0


class Servers:
    """Each is a process of this machine with the credentials of one Compute's Secret."""

    def __init__(self, core: client.CoreV1Api, namespace: str, folder: Path) -> None:
        self._core = core
        self._namespace = namespace
        self._folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    async def start(self, name: str, port: int) -> None:
        """A server for the Compute of that name."""
        secret = await self._core.read_namespaced_secret(name, self._namespace)
        folder = self._folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        for key, value in secret.data.items():
            (folder / key).write_bytes(base64.b64decode(value))
            (folder / key).chmod(0o600)
        flags = ["--token-file", folder / "token", "--tls-cert", folder / "tls.crt", "--tls-key", folder / "tls.key"]
        command = [sys.executable, "-m", "skytorch_server", "--host", "127.0.0.1", "--port", str(port), *flags]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        deadline = time.monotonic() + SECONDS
        while not listens(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "the server doesn't listen"
            time.sleep(0.02)

    def port(self) -> int:
        """A port that nothing has."""
        return free_port()

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(SECONDS)
