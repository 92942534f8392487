"""What a process has of the machine's memory for itself."""

from __future__ import annotations

from pathlib import Path

_FIELD = "RssAnon:"


def anonymous_bytes(pid: int) -> int:
    """The resident memory of a process that is neither a file's nor shared with others by name; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(_FIELD)), 0)
