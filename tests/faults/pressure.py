"""``python -m tests.faults.pressure``: a server that stands still while its client goes on, and what both hold."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import torch

import jupyter_skytorch as sky
from bench.rig import private_server
from bench.server import server

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_skytorch import Compute

_SAMPLE_SECONDS = 0.02
_MEBIBYTE = 1 << 20
_PIECE = 4 * _MEBIBYTE


@dataclass
class Outcome:
    """MiB beyond what each held before, at most; and what was issued while the server stood still."""

    what: str
    client: float
    worker: float
    issued: int
    right: bool

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.issued} issued while the server stood still; the client held {self.client:.0f} MiB "
            f"more at most, the session's process {self.worker:.0f} MiB; {'right' if self.right else 'WRONG'}"
        )


def ops(compute: Compute, stopped: threading.Event) -> tuple[int, bool]:
    """Adds ones until told to stop; how many while the server stood still, and whether the sum is right."""
    x = torch.zeros(16, device=compute.device("cpu"))
    issued = 0
    while not stopped.is_set():
        x.add_(1)
        issued += 1
    return issued, bool((x.cpu() == issued).all())


def uploads(compute: Compute, stopped: threading.Event) -> tuple[int, bool]:
    """Sends 4 MiB that nobody has seen, again and again, to the same place."""
    here = torch.randint(256, (_PIECE,), dtype=torch.uint8)
    there = torch.zeros(_PIECE, dtype=torch.uint8, device=compute.device("cpu"))
    issued = 0
    while not stopped.is_set():
        here.add_(1)
        there.copy_(here)
        issued += 1
    return issued, torch.equal(there.cpu(), here)


def pressed(
    what: str, work: Callable[[Compute, threading.Event], tuple[int, bool]], address: str, seconds: float
) -> Outcome:
    """Lets the session's process stand still for so long while its client works."""
    with sky.connect(address, name=what) as compute:
        worker = psutil.Process(next(s.pid for s in compute.sessions() if s.session_id == compute.session().id))
        own = psutil.Process()
        warm = threading.Event()
        warm.set()
        work(compute, warm)
        before = {process.pid: process.memory_info().rss for process in (own, worker)}
        most = dict(before)
        stopped, ended = threading.Event(), threading.Event()

        def watch() -> None:
            began = time.monotonic()
            os.kill(worker.pid, signal.SIGSTOP)
            while not ended.wait(_SAMPLE_SECONDS):
                for process in (own, worker):
                    most[process.pid] = max(most[process.pid], process.memory_info().rss)
                if not stopped.is_set() and time.monotonic() - began > seconds:
                    stopped.set()
                    os.kill(worker.pid, signal.SIGCONT)

        watching = threading.Thread(target=watch)
        watching.start()
        issued, right = work(compute, stopped)
        ended.set()
        watching.join()
        client, remote = ((most[process.pid] - before[process.pid]) / _MEBIBYTE for process in (own, worker))
        return Outcome(what, client, remote, issued, right)


def main() -> int:
    """The command line; the exit status is 1 if a result was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.pressure", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="that the server stands still")
    options = parser.parse_args()
    right = True
    with ExitStack() as stack:
        stack.enter_context(private_server())
        near = stack.enter_context(server())
        far = stack.enter_context(server("--no-direct"))
        for place, way in ((near, "on one machine"), (far, "through the port")):
            for work in (ops, uploads):
                outcome = pressed(f"{work.__name__} {way}".replace(" ", "-"), work, f"grpc://{place}", options.seconds)
                right &= outcome.right
                sys.stdout.write(f"{outcome}\n")
                sys.stdout.flush()
    return not right


if __name__ == "__main__":
    sys.exit(main())
