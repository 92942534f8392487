"""Ends a server that nobody uses."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sessions import Sessions

_log = logging.getLogger(__name__)


async def until_idle(sessions: Sessions, seconds: float) -> None:
    """Returns when there has been no session for `seconds`."""
    loop = asyncio.get_running_loop()
    last_change = loop.time()

    def note_change(*_: object) -> None:
        nonlocal last_change
        last_change = loop.time()

    sessions.watchers.listen(note_change)
    while True:
        left = last_change + seconds - loop.time()
        if left <= 0 and not len(sessions):
            break
        await asyncio.sleep(left if left > 0 else seconds)
    _log.info("no session for %g s: the server ends", seconds)
