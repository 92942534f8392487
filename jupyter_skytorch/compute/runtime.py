"""The private folder of this user's runtime files: session records, the embedded server's record, lock and log."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_core.paths import jupyter_runtime_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["folder", "read_json", "write_json"]

_LARGEST_RECORD = 64 * 1024


def folder(*parts: str) -> Path:
    """Return jupyter_runtime_dir()/skytorch[/parts], made when missing, readable by this user only.

    Raises PermissionError when it belongs to somebody else.
    """
    path = Path(jupyter_runtime_dir()) / "skytorch"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _own(path)
    for part in parts:
        path /= part
        path.mkdir(mode=0o700, exist_ok=True)
        _own(path)
    return path


def _own(path: Path) -> None:
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{path} is not a folder of this user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(0o700)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a file that only this user can read, and that a reader sees whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")  # made with 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, object] | None:
    """Read such a file; None when it is missing, not this user's, too large, or not a JSON object."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_size > _LARGEST_RECORD:
            return None
        try:
            content = json.loads(file.read(_LARGEST_RECORD))
        except (OSError, ValueError):
            return None
    return content if isinstance(content, dict) else None
