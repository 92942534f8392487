"""Embedded servers that belong to one run of the tests or of the benchmark, and end with it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

END_SECONDS = 15


@contextmanager
def private_runtime() -> Iterator[Path]:
    """A folder for JUPYTER_RUNTIME_DIR; the embedded servers that were started from it end with the context."""
    # Not under pytest's own folder: the path of a Unix socket may have no more than 103 letters.
    with TemporaryDirectory(prefix="sky-") as folder:
        try:
            yield Path(folder)
        finally:
            _end_servers(Path(folder))


def _end_servers(runtime: Path) -> None:
    servers = []
    for path in (runtime / "skytorch").glob("server-*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        try:
            server = psutil.Process(record["pid"])
            # The number may have been given to somebody else by now.
            if record["socket"] in server.cmdline():
                server.terminate()
                servers.append(server)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(servers, timeout=END_SECONDS)
