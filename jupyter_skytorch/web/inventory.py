"""Puts together what session records, kernels and servers say: the Computes of all kernels, with their sessions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jupyter_skytorch.web import expiry
from jupyter_skytorch.web.targets import Target
from skytorch_wire import sessions_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jupyter_skytorch.compute.records import SessionRecord
    from jupyter_skytorch.web.kernels import Kernel
    from jupyter_skytorch.web.watch import Watch

_ENDED = {
    sessions_pb2.SESSION_STATE_CLOSED: "closed",
    sessions_pb2.SESSION_STATE_EXPIRED: "its lease ran out",
    sessions_pb2.SESSION_STATE_CRASHED: "its process ended",
}


def describe(
    watches: Mapping[Target, Watch],
    configured: Mapping[Target, str],
    records: Iterable[SessionRecord],
    kernels: Mapping[str, Kernel],
) -> list[dict[str, Any]]:
    """The Computes in the form that `GET skytorch/api/sessions` documents, those with a name first by it."""
    by_target: dict[Target, list[SessionRecord]] = {target: [] for target in configured}
    for record in records:
        by_target.setdefault(Target.of(record), []).append(record)
    computes = [
        _compute(target, configured.get(target), mine, watches.get(target), kernels)
        for target, mine in by_target.items()
    ]
    return sorted(computes, key=lambda compute: (compute["name"], compute["address"]))


def _compute(
    target: Target,
    name: str | None,
    records: list[SessionRecord],
    watch: Watch | None,
    kernels: Mapping[str, Kernel],
) -> dict[str, Any]:
    sessions = [_recorded(record, watch, kernels) for record in records]
    recorded = {record.session_id for record in records}
    if watch is not None and watch.sessions is not None and watch.health.state == "serving":
        sessions += [
            _unrecorded(session, kernels)
            for session in watch.sessions.values()
            if session.session_id not in recorded and session.state == sessions_pb2.SESSION_STATE_ACTIVE
        ]
    return {
        "id": target.id,
        "name": name or ", ".join(sorted({record.name for record in records})),
        "provider": records[0].provider if records else "address",
        "address": target.address,
        "health": _health(watch),
        "sessions": sorted(sessions, key=lambda session: (session["created"], session["session_id"])),
    }


def _health(watch: Watch | None) -> dict[str, Any]:
    if watch is None:
        return {"state": "unwatched", "since": None, "reason": "its provider is switched off here"}
    health = watch.health
    return {"state": health.state, "since": _iso(health.since), "reason": health.reason}


def _recorded(record: SessionRecord, watch: Watch | None, kernels: Mapping[str, Kernel]) -> dict[str, Any]:
    """A session that a kernel of this machine has recorded, checked against its server."""
    session = watch.sessions.get(record.session_id) if watch is not None and watch.sessions is not None else None
    state, reason = _state(record, session, watch)
    return {
        "session_id": record.session_id,
        "name": record.name,
        "state": state,
        "reason": reason,
        "created": record.created,
        "kernel": _kernel(record.kernel_id, kernels),
        "host": None,
        "stats": _stats(session),
        **_bounds(session, orphan=state == "orphan"),
    }


def _state(record: SessionRecord, session: sessions_pb2.Session | None, watch: Watch | None) -> tuple[str, str]:
    alive = record.kernel_alive()
    if session is not None and session.state in _ENDED:
        return "ended", session.reason or _ENDED[session.state]
    if not alive:
        if session is not None and watch is not None and watch.health.state == "serving":
            return "orphan", "its kernel is gone"
        return "orphan", "its kernel is gone"
    if watch is None or watch.health.state != "serving":
        return "unconfirmed", ""
    if watch.sessions is None:
        return "unconfirmed", "only its kernel holds the credential to ask the server"
    if session is not None:
        return "active", ""
    if watch.boot_id != record.boot_id:
        return "lost", "its server was started anew"
    # A session younger than the list is not missing from it.
    if _is_after(record.created, watch.listed_at):
        return "unconfirmed", ""
    return "lost", "its server no longer has it"


def _is_after(created: str, when: datetime) -> bool:
    try:
        return datetime.fromisoformat(created) > when
    except (TypeError, ValueError):  # a record that says no time, or one of no time zone
        return False


def _unrecorded(session: sessions_pb2.Session, kernels: Mapping[str, Kernel]) -> dict[str, Any]:
    """A session of the same principal that no kernel of this machine has recorded."""
    labels = session.labels
    return {
        "session_id": session.session_id,
        "name": session.name,
        "state": "active",
        "reason": "",
        "created": _iso(session.created.ToDatetime(UTC)),
        "kernel": _kernel(labels.get("kernel_id"), kernels),
        "host": labels.get("host"),
        "stats": _stats(session),
        **_bounds(session, orphan=False),
    }


def _kernel(kernel_id: str | None, kernels: Mapping[str, Kernel]) -> dict[str, Any] | None:
    kernel = kernels.get(kernel_id or "")
    if kernel is None:
        return None
    return {"id": kernel.kernel_id, "name": kernel.name, "state": kernel.state, "notebook": kernel.notebook}


def _stats(session: sessions_pb2.Session | None) -> dict[str, int] | None:
    if session is None or not session.HasField("stats"):
        return None
    stats = session.stats
    return {
        "operations": stats.operations,
        "bytes_received": stats.bytes_received,
        "bytes_sent": stats.bytes_sent,
        "storages": stats.storages,
        "storage_bytes": stats.storage_bytes,
        "resident_bytes": stats.resident_bytes,
    }


def _bounds(session: sessions_pb2.Session | None, *, orphan: bool) -> dict[str, Any]:
    told = session is not None and session.HasField("expiry") and (orphan or session.expiry.soon)
    return {
        "memory_bytes": session.memory_bytes or None if session is not None else None,
        "expiry": expiry.describe(session.expiry) if session is not None and told else None,
    }


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds")
