"""Waiting until a session has nothing to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .visit import visit

if TYPE_CHECKING:
    from .executor import Executor

# A client that has more to say says it within this time, whatever lies in sockets on the way.
_QUIET_SECONDS = 0.25


async def drained(executor: Executor) -> None:
    """Returns when what was submitted is executed, the answers are taken, and nothing more has come for a moment."""
    while True:
        await visit(executor, lambda _there: [])
        before = dict(executor.stats())
        await asyncio.sleep(_QUIET_SECONDS)
        if executor.stats() == before and not executor.pending_bytes() and not executor.outbox_bytes():
            return
