"""Processes of a test's own."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_END_SECONDS = 15.0


@contextmanager
def process(*command: str, log: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive the test; what it says is in `log`."""
    with log.open("ab") as output:
        running = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **(env or {})})
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(timeout=_END_SECONDS)
