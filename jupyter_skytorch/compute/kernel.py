"""The Jupyter kernel that this process is, and what it writes down about a session."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .records import SessionRecord

if TYPE_CHECKING:
    from .compute import Compute

__all__ = ["kernel_id", "session_record"]


def kernel_id() -> str | None:
    """Return the id under which Jupyter knows this kernel; None in any other process."""
    # A process that is a kernel has the module loaded; no other should load it for this.
    application = sys.modules.get("ipykernel.kernelapp")
    if application is None or not application.IPKernelApp.initialized():
        return None
    return Path(application.IPKernelApp.instance().connection_file).stem.removeprefix("kernel-")


def session_record(compute: Compute) -> SessionRecord:
    """Return the record of a session that begins now."""
    return SessionRecord(
        session_id=compute.session.id,
        name=compute.name,
        address=compute.address,
        provider=compute.provider,
        boot_id=compute.boot_id,
        kernel_id=kernel_id(),
        pid=os.getpid(),
        created=datetime.now(UTC).isoformat(),
        insecure=compute.place.insecure,
        credential=compute.place.credential,
        encryption=compute.place.encryption,
    )
