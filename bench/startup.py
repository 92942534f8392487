"""What is waited for before the first op, and what a server costs that nobody uses."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psutil

import jupyter_skytorch as sky

from .embedded import private_runtime
from .figure import Figure, alone

if TYPE_CHECKING:
    from .rig import Rig

ROUNDS = 5
IDLE_SECONDS = 10

CONNECT = """
import time, torch
import jupyter_skytorch as sky
started = time.perf_counter()
compute = sky.connect()
print(time.perf_counter() - started)
compute.close()
"""

LOAD_EXT = """
import time, torch
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
started = time.perf_counter()
shell.run_line_magic("load_ext", "jupyter_skytorch")
print(time.perf_counter() - started)
"""


def _seconds(script: str, **environment: str) -> float:
    """What `script`, run in a Python of its own, prints last."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return float(done.stdout.split()[-1])


def _cold_connect() -> float:
    """Seconds to connect where no embedded server runs; the native parts are compiled already."""
    with private_runtime() as folder:
        return _seconds(CONNECT, JUPYTER_RUNTIME_DIR=str(folder))


def _idle_share() -> float:
    """The share of one processor, in percent, that a server without a session uses, its fork server included."""
    with tempfile.TemporaryDirectory(prefix="sky-idle-") as folder:
        socket = Path(folder) / "server.sock"
        command = [sys.executable, "-m", "skytorch_server", "--unix-socket", str(socket), "--log-level", "ERROR"]
        server = psutil.Popen(command)
        try:
            with grpc.insecure_channel(f"unix:{socket}") as channel:
                grpc.channel_ready_future(channel).result(timeout=60)
            # One session comes and goes, so that what a server does once is done.
            with sky.connect(f"unix:{socket}", name="idle"):
                pass
            processes = [server, *server.children(recursive=True)]
            before = [_processor_seconds(process) for process in processes]
            time.sleep(IDLE_SECONDS)
            after = [_processor_seconds(process) for process in processes]
            # The session's process may have ended in between; what it did then is not the idle server's.
            used = sum(max(now - then, 0.0) for now, then in zip(after, before, strict=True))
            return 100 * used / IDLE_SECONDS
        finally:
            server.terminate()
            server.wait(timeout=30)


def _processor_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def measure(rig: Rig) -> list[Figure]:
    """Connecting to a running and to a new embedded server, loading the extension, and an idle server."""
    # `rig` keeps the embedded server of this process running meanwhile: that is the warm one.
    assert rig.compute.session().state == "live"  # noqa: S101
    return [
        alone("connect() to a running embedded server", "s", [_seconds(CONNECT) for _ in range(ROUNDS)], at_most=0.3),
        alone("connect() that starts the server", "s", [_cold_connect() for _ in range(ROUNDS)], at_most=4),
        alone("%load_ext, beyond import torch", "s", [_seconds(LOAD_EXT) for _ in range(ROUNDS)], at_most=0.5),
        alone("processor of an idle server", "%", [_idle_share()], at_most=1),
    ]
