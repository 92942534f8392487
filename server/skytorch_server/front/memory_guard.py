"""Ends a session whose process takes more memory than its limit, where no allocation of a tensor's could be refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from skytorch_wire.sizes import size_text

from .resident import anonymous_bytes

if TYPE_CHECKING:
    from .devices import Devices
    from .session import Session
    from .sessions import Sessions

_SAMPLE_SECONDS = 0.25

# Beside the tensors' limit, what is queued and one message, a process may take this much, and this part of the limit:
# what is on its way back, what torch's kernels allocate by themselves, what malloc keeps, the context of a CUDA device.
_OVERHEAD_BYTES = 192 * 1024 * 1024
_CUDA_OVERHEAD_BYTES = 4 * 1024 * 1024 * 1024
_OVERHEAD_PART = 8


def overhead(limit: int, in_flight: int, *, cuda: bool) -> int:
    """What the process of a session with this limit may take beyond it, with so many bytes on their way to it."""
    fixed = _CUDA_OVERHEAD_BYTES if cuda else _OVERHEAD_BYTES
    return fixed + in_flight + limit // _OVERHEAD_PART


async def guard_memory(sessions: Sessions, devices: Devices) -> None:
    """Looks at the sessions that have a limit, until cancelled."""
    while True:
        for session in sessions.active():
            if reason := _excess(session, cuda=devices.has_cuda):
                sessions.kill(session, reason)
        await asyncio.sleep(_SAMPLE_SECONDS)


def _excess(session: Session, *, cuda: bool) -> str:
    limit = session.granted.memory_bytes
    if not limit:
        return ""
    used = anonymous_bytes(session.worker.pid) - session.worker.idle_bytes
    spec = session.worker.spec
    if used <= limit + overhead(limit, spec.pending_bytes + spec.max_message_bytes, cuda=cuda):
        return ""
    return f"killed: memory limit of {size_text(limit)} exceeded (used {size_text(used)}); --session-memory raises it"
