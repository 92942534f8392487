"""A server that is there to be fuzzed, and a client of it that must not notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psutil

from bench.server import server

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 120
_LIMITS = ("--session-memory", "2GiB")  # a hostile size is refused, or costs its session


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    mebibytes: float
    descriptors: int

    def __str__(self) -> str:
        return f"{self.mebibytes:.1f} MiB, {self.descriptors} descriptors"


def held(pid: int) -> Held:
    """What a process holds now."""
    process = psutil.Process(pid)
    return Held(process.memory_info().rss / (1 << 20), process.num_fds())


@contextmanager
def fuzzed() -> Iterator[tuple[str, int, list[str]]]:
    """A server's "host:port" and process, and problems, to which what the bystander has noticed is added at the end.

    Its principals are alice, bob and carol; bob is the bystander.
    """
    problems: list[str] = []
    with TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens"
        tokens.write_text("alice:of-alice\nbob:of-bob\ncarol:of-carol\n", encoding="utf-8")
        tokens.chmod(0o600)
        before = set(psutil.Process().children())
        with server("--token-file", str(tokens), *_LIMITS) as place:
            (process,) = set(psutil.Process().children()) - before
            program = [sys.executable, "-m", "tests.fuzz.bystander", f"grpc://{place}"]
            environment = {**os.environ, "SKYTORCH_TOKEN": "of-bob"}
            with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True) as bystander:
                assert bystander.stdout is not None
                bystander.stdout.readline()
                try:
                    yield place, process.pid, problems
                finally:
                    bystander.send_signal(signal.SIGTERM)
                    told, _ = bystander.communicate(timeout=_SECONDS)
                if bystander.returncode:
                    problems.append(f"the bystander ended with {bystander.returncode}: {told.strip()}")
            if process.status() == psutil.STATUS_ZOMBIE:
                problems.append("the server has ended")
