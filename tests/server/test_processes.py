"""What the processes of a server have loaded, and what they cost while nobody uses them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from conftest import Connect, ServerProcess, StartServer


def loaded(pid: int, part: str) -> bool:
    return part in Path(f"/proc/{pid}/maps").read_text()


def threads(pid: int) -> set[str]:
    return {(task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()}


def fork_server_of(server: ServerProcess, worker: int) -> int:
    fork_server = psutil.Process(worker).ppid()
    assert fork_server in server.children()
    return fork_server


def test_the_front_never_loads_torch_and_the_fork_server_starts_nothing(alice, server: ServerProcess) -> None:
    worker = alice.create().session.pid
    fork_server = fork_server_of(server, worker)
    assert not loaded(server.pid, "libtorch")
    assert loaded(fork_server, "libtorch")
    # gRPC, once initialised, runs threads of these names; a fork would lose them, and hang.
    assert threads(worker) & {"event_engine", "grpc_global_tim"}
    assert not threads(fork_server) & {"event_engine", "grpc_global_tim"}
    # Opening the device is the first thing that CUDA does.
    assert not any("nvidia" in str(fd.readlink()) for fd in Path(f"/proc/{fork_server}/fd").iterdir())


def test_the_client_s_backend_is_not_loaded_into_a_server(alice) -> None:
    environment = Path(f"/proc/{alice.create().session.pid}/environ").read_bytes()
    assert b"TORCH_DEVICE_BACKEND_AUTOLOAD=0" in environment.split(b"\0")


def test_an_idle_server_uses_hardly_any_of_a_core(start_server: StartServer, connect: Connect) -> None:
    server = start_server()
    client = connect(server.target)
    client.close_session(client.create().session.session_id)
    processes = [psutil.Process(pid) for pid in (server.pid, *server.children())]
    for process in processes:
        process.cpu_percent()
    psutil.cpu_percent(interval=3)  # the measurement takes this long
    assert sum(process.cpu_percent() for process in processes) < 1
    assert server.stop() == 0


@pytest.mark.parametrize("module", ["skytorch_server", "skytorch_server.front.server", "skytorch_server.session.entry"])
def test_importing_the_front_imports_no_torch(module: str) -> None:
    import subprocess

    check = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=60, check=False).returncode == 0
