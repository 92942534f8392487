"""The embedded server's log file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["bound", "last_line"]

_LARGEST = 4 * 1024 * 1024
_KEPT = 64 * 1024


def bound(log: Path) -> None:
    """Cut the log down to its newest lines when it has grown over 4 MiB.

    The server writes it in append mode, so that a cut in the middle of its life loses at most the line of the moment.
    """
    try:
        if log.stat().st_size <= _LARGEST:
            return
        tail = _tail(log)
        os.truncate(log, 0)
        with log.open("ab") as file:
            file.write(tail)
    except OSError:
        # A log that cannot be cut is no reason not to connect.
        return


def last_line(log: Path) -> str:
    """Return the last line that says something, for a person to read."""
    try:
        lines = [line.strip() for line in _tail(log).decode(errors="replace").splitlines()]
    except OSError:
        return "it left no log"
    return next((line[:300] for line in reversed(lines) if line), "it said nothing")


def _tail(log: Path) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _KEPT))
        return file.read()
