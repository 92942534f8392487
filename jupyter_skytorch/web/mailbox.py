"""What waits to be sent to one browser."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

Message = dict[str, Any]


class Mailbox:
    """A bounded queue of messages for one browser.

    A browser that reads too slowly misses the oldest metrics, never the latest state: only the newest of that is kept.
    """

    def __init__(self, limit: int = 64) -> None:
        self._state: Message | None = None
        self._metrics: deque[Message] = deque(maxlen=limit)
        self._closed = False
        self._ready = asyncio.Event()

    def put_state(self, message: Message) -> None:
        """Replaces a state that was not read yet."""
        self._state = message
        self._ready.set()

    def put_metrics(self, message: Message) -> None:
        """Adds metrics behind those that wait, in place of the oldest when the mailbox is full."""
        self._metrics.append(message)
        self._ready.set()

    def close(self) -> None:
        """Ends the reader, after what already waits."""
        self._closed = True
        self._ready.set()

    async def get(self) -> Message | None:
        """The next message, a state before any metrics; None once the mailbox is closed and empty."""
        while True:
            if self._state is not None:
                message, self._state = self._state, None
                return message
            if self._metrics:
                return self._metrics.popleft()
            if self._closed:
                return None
            self._ready.clear()
            await self._ready.wait()
