"""The Jupyter kernel that this process is, and what it writes down about a session."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .records import SessionRecord

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["kernel_id", "session_record"]


def kernel_id() -> str | None:
    """Return the id under which Jupyter knows this kernel; None in any other process."""
    # A process that is a kernel has the module loaded; no other should load it for this.
    application = sys.modules.get("ipykernel.kernelapp")
    if application is None or not application.IPKernelApp.initialized():
        return None
    return Path(application.IPKernelApp.instance().connection_file).stem.removeprefix("kernel-")


def session_record(connection: Connection) -> SessionRecord:
    """Return the record of a session that begins now."""
    place = connection.place
    return SessionRecord(
        session_id=connection.session.id,
        name=connection.name,
        address=str(place.address),
        provider=place.provider,
        boot_id=connection.boot_id,
        kernel_id=kernel_id(),
        pid=os.getpid(),
        created=datetime.now(UTC).isoformat(),
        insecure=place.insecure,
        credential=place.credential,
        encryption=place.encryption,
    )
