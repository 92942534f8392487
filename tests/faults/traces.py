"""What processes leave behind on a machine, and what they hold while they run."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@contextmanager
def own_temporary_folder() -> Iterator[Path]:
    """A folder for what this process and its children make in passing, so that nobody else's is taken for theirs."""
    with tempfile.TemporaryDirectory(prefix="f-", dir="/tmp") as folder:  # short, for the sockets in it
        before = {name: os.environ.pop(name, None) for name in ("TMPDIR", "XDG_RUNTIME_DIR")}
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = None
            del os.environ["TMPDIR"]
            os.environ.update({name: value for name, value in before.items() if value is not None})


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
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        return cls(
            frozenset(path.name for path in Path("/dev/shm").iterdir()),  # noqa: S108
            # PyTorch keeps what it compiles, on purpose.
            frozenset(str(path) for path in Path(tempfile.gettempdir()).glob("s*")),
            maps.count("memfd:"),
            sum(1 for _ in Path("/proc/self/fd").iterdir()),
            sum(1 for _ in Path("/proc/self/task").iterdir()),
        )

    def beyond(self, before: Traces) -> list[str]:
        """What there is now and wasn't before, in words."""
        more = [f"shared memory {name}" for name in self.shared - before.shared]
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
