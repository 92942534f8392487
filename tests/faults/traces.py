"""What processes leave behind on a machine, and what they hold while they run."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True)
class Traces:
    """What is there: files for shared memory and sockets, and what this process itself holds."""

    shared: frozenset[str]
    temporary: frozenset[str]
    mapped: int
    """Mappings of memory without a file."""
    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> Traces:
        """As it is at present."""
        places = {os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"} - {""}  # noqa: S108
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        return cls(
            frozenset(path.name for path in Path("/dev/shm").iterdir()),  # noqa: S108
            frozenset(str(path) for place in places for path in Path(place).glob("skytorch-*")),
            maps.count("memfd:"),
            len(os.listdir("/proc/self/fd")),
            len(os.listdir("/proc/self/task")),
        )

    def beyond(self, before: Traces) -> list[str]:
        """What there is now and wasn't before, in words."""
        more = [f"/dev/shm/{name}" for name in self.shared - before.shared]
        more += self.temporary - before.temporary
        more += [f"{self.mapped} mappings of shared memory"] if self.mapped > before.mapped else []
        return more


def family(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie doesn't."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def until(holds: Callable[[], object], seconds: float) -> bool:
    """Waits for a condition; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
