"""All sessions of a user, as a table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .quantities import duration, size
from .table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_skytorch.compute.survey import KnownSession

__all__ = ["sessions_table"]

_HEADERS = ("", "session", "Compute", "of", "kernel", "state", "age", "idle", "left", "holds", "limit")


def sessions_table(found: Sequence[KnownSession], *, mine: str = "") -> Table[KnownSession]:
    """One row a session; `mine` is the id of the one to mark."""
    return Table(found, _HEADERS, lambda known: _row(known, mine), empty="You have no session at any server known here")


def _row(known: KnownSession, mine: str) -> tuple[str, ...]:
    mark = "▸" if known.session_id == mine else ""
    session = known.session
    if session is None:
        return mark, known.session_id, known.name, _origin(known), known.kernel, known.state, "", "", "", "", ""
    now = time.time()
    return (
        mark,
        known.session_id,
        known.name,
        _origin(known),
        known.kernel,
        f"{known.state}, ends soon" if session.expiry.soon else known.state,
        duration(max(now - session.created.ToNanoseconds() * 1e-9, 0.0)),
        duration(max(now - session.last_heartbeat.ToNanoseconds() * 1e-9, 0.0)),
        duration(session.expiry.seconds),
        size(session.stats.storage_bytes),
        size(session.memory_bytes) if session.memory_bytes else "",
    )


def _origin(known: KnownSession) -> str:
    labels = known.session.labels if known.session is not None else {}
    name = known.notebook.rpartition("/")[2]
    if not name:
        pid = known.record.pid if known.record is not None else labels.get("pid", "?")
        name = f"process {pid}"
    return f"{name} on {labels.get('host', '?')}" if known.kernel == "elsewhere" else name
