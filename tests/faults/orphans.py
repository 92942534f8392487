"""Kernels that are killed: their sessions expire on time, and the server's memory is what it was.

``python -m tests.faults.orphans`` prints the figures; ``--help`` says what can be changed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass

import psutil
import torch

import jupyter_skytorch as sky
from bench.server import server

_LEASE_SECONDS = 2.0
_AT_A_TIME = 5
_TENSOR_MIB = 16
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Orphans:
    """What became of them."""

    expired: int
    latest: float
    """The longest time from a kill until its session had ended, in seconds; its lease was 2 s."""
    before: int
    """Resident bytes of all of the server's processes, after a first session had come and gone."""
    after: int
    """And after the last orphan had."""

    @property
    def growth(self) -> float:
        """As a share of what it was."""
        return self.after / self.before - 1

    def __str__(self) -> str:
        return (
            f"{self.expired} sessions expired, the last {self.latest:.2f} s after its kernel was killed (lease "
            f"{_LEASE_SECONDS:g} s); the server's memory went from {self.before / 2**20:.2f} to "
            f"{self.after / 2**20:.2f} MiB ({self.growth:+.3%})"
        )


def orphans(kernels: int) -> Orphans:
    """Kills so many kernels, a few at a time, each with a session that holds a tensor."""
    with server() as place:
        address = f"grpc://{place}"
        with sky.connect(address, name="watcher") as watcher:
            front = _server_process(watcher)
            _kill(address, 1, watcher)
            before = _resident(front)
            latest, expired = 0.0, 0
            while expired < kernels:
                several = min(_AT_A_TIME, kernels - expired)
                latest = max(latest, _kill(address, several, watcher))
                expired += several
            return Orphans(expired, latest, before, _resident(front))


def _server_process(watcher: sky.Compute) -> psutil.Process:
    """The front, which is the parent of the fork server, which is that of the sessions."""
    (session,) = watcher.sessions()
    return psutil.Process(session.pid).parents()[1]


def _resident(front: psutil.Process) -> int:
    return sum(process.memory_info().rss for process in [front, *front.children(recursive=True)])


def _kill(address: str, kernels: int, watcher: sky.Compute) -> float:
    """Kills so many kernels; the seconds until the last of their sessions is gone, its process too."""
    command = [sys.executable, "-m", "tests.faults.orphans", "--at", address]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(kernels)
    ]
    for kernel in started:
        if kernel.stdout is None or kernel.stdout.readline() != "ready\n":
            raise RuntimeError("a kernel that was to be killed ended before it was")
    pids = [session.pid for session in watcher.sessions() if session.name != watcher.name]
    killed = time.monotonic()
    for kernel in started:
        kernel.kill()
    for kernel in started:
        with kernel:
            kernel.wait()
    while len(watcher.sessions()) > 1 or any(psutil.pid_exists(pid) for pid in pids):
        if time.monotonic() - killed > _PATIENCE_SECONDS:
            raise RuntimeError(f"after {_PATIENCE_SECONDS:g} s a session of a killed kernel is still there")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - killed


def _live(address: str) -> None:
    compute = sky.connect(address, name="orphan", idle_timeout=_LEASE_SECONDS)
    held = torch.ones(_TENSOR_MIB << 18, device=compute.device("cpu"))
    held.sum().item()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", type=int, default=50)
    parser.add_argument("--at", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.at:
        _live(options.at)
        return
    found = orphans(options.kernels)
    sys.stdout.write(f"{found}\n")
    sys.exit(found.growth > 0.01)


if __name__ == "__main__":
    main()
