"""Session records: which kernel of this machine has a session where. Imports no torch.

One JSON file a session, in the Jupyter runtime folder, for the sidebar to find. A record names a server and a
reference to the credential to use there; it holds no secret. The server owns the truth about the session.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast, get_args

from .credentials import Credential, Kind
from .encryption import Encryption
from .runtime import folder, read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SessionRecord", "process_runs", "read_all", "remove", "write"]

_VERSION = 1
# A session id comes from a server and becomes a file name.
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True)
class SessionRecord:
    """One session of one kernel."""

    session_id: str
    name: str
    address: str
    """The server's front: "grpc://host:port" or "unix:/path"."""
    provider: str
    boot_id: str
    kernel_id: str | None
    """None for a Python process that is no Jupyter kernel."""
    pid: int
    created: str
    """ISO 8601, UTC."""
    insecure: bool
    credential: Credential
    encryption: Encryption = field(default_factory=Encryption)

    def kernel_alive(self) -> bool:
        """Whether the process that wrote the record still runs; a record without it is stale."""
        return process_runs(self.pid)


def process_runs(pid: int) -> bool:
    """Whether a process of this machine has that number, whoever it belongs to."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write(record: SessionRecord) -> None:
    """Write or replace a record, readable by this user only. Raises OSError; ValueError for an unsafe session id."""
    write_json(_path(record.session_id), {"version": _VERSION, **asdict(record)})


def remove(session_id: str, *, pid: int | None = None) -> None:
    """Remove a record, if it is there; with `pid`, if it is that process's: another may have the session by now."""
    path = _path(session_id)
    found = _parse(read_json(path), session_id)
    if pid is None or found is None or found.pid == pid:
        path.unlink(missing_ok=True)


def read_all() -> list[SessionRecord]:
    """Return every readable record, oldest first; files that are no records are passed over."""
    found = (_parse(read_json(path), path.stem) for path in folder("sessions").glob("*.json"))
    return sorted((record for record in found if record is not None), key=lambda record: record.created)


def _path(session_id: str) -> Path:
    if not _SAFE_ID.fullmatch(session_id):
        raise ValueError(f"{session_id[:64]!r} cannot be a session id")
    return folder("sessions") / f"{session_id}.json"


def _parse(content: dict[str, object] | None, stem: str) -> SessionRecord | None:
    if content is None or content.get("version") != _VERSION or content.get("session_id") != stem:
        return None
    values: dict[str, Any] = {name: content.get(name) for name in SessionRecord.__dataclass_fields__}
    reference = values.pop("credential")
    files = values.pop("encryption")
    texts = [values[name] for name in ("session_id", "name", "address", "provider", "boot_id", "created")]
    if not all(isinstance(text, str) for text in texts) or not isinstance(values["kernel_id"], str | None):
        return None
    if not _is_pid(values["pid"]) or not isinstance(values["insecure"], bool):
        return None
    if not isinstance(reference, dict) or reference.get("kind") not in get_args(Kind):
        return None
    path = reference.get("path")
    if not isinstance(path, str | None):
        return None
    encryption = _encryption(files)
    if encryption is None:
        return None
    return SessionRecord(**values, credential=Credential(cast("Kind", reference["kind"]), path), encryption=encryption)


def _encryption(files: object) -> Encryption | None:
    if not isinstance(files, dict) or not set(files) <= set(Encryption.__dataclass_fields__):
        return None
    if not all(isinstance(path, str | None) for path in files.values()):
        return None
    return Encryption(**files)


def _is_pid(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
