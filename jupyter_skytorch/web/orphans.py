"""Records that a killed kernel has left behind, and when to be rid of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jupyter_skytorch.compute import records
from jupyter_skytorch.web.targets import Target
from skytorch_wire import sessions_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_skytorch.compute.records import SessionRecord
    from jupyter_skytorch.web.watch import Watch

# How long a person can still see what became of a session of which nothing is left.
_SHOWN_SECONDS = 600.0


class Orphans:
    """Removes the records of dead kernels, some time after the server has freed their sessions or has gone itself."""

    def __init__(self) -> None:
        self._spent_since: dict[str, float] = {}

    def sweep(self, found: list[SessionRecord], watches: Mapping[Target, Watch]) -> list[SessionRecord]:
        """The records that are to be shown; removes the others."""
        now = time.monotonic()
        spent = {record.session_id for record in found if _is_spent(record, watches.get(Target.of(record)))}
        self._spent_since = {session_id: self._spent_since.get(session_id, now) for session_id in spent}
        old = {session_id for session_id, since in self._spent_since.items() if now - since > _SHOWN_SECONDS}
        for session_id in old:
            records.remove(session_id)
        return [record for record in found if record.session_id not in old]


def _is_spent(record: SessionRecord, watch: Watch | None) -> bool:
    """Nothing is left of the session: neither its kernel, nor anything on its server."""
    if watch is None or record.kernel_alive():
        return False
    if watch.health.state == "unreachable":
        # A server behind a Unix socket is on this machine; one elsewhere may only be out of reach.
        return record.address.startswith("unix:")
    if watch.health.state != "serving" or watch.sessions is None:
        return False
    session = watch.sessions.get(record.session_id)
    return session is None or session.state != sessions_pb2.SESSION_STATE_ACTIVE
