"""Tells those who watch what happens to the sessions of their principal."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from skytorch_wire import sessions_pb2

from .refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from .session import Session

# A watcher that falls this many events behind is sent away rather than fed from ever more memory.
_BACKLOG = 1000


class Watch:
    """The events of one watcher, as an endless asynchronous iterator."""

    def __init__(self, principal: str) -> None:
        self.principal = principal
        self._events: asyncio.Queue[sessions_pb2.SessionEvent] = asyncio.Queue(_BACKLOG)
        self._lost = False

    def put(self, event: sessions_pb2.SessionEvent) -> None:
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self._lost = True

    async def __aiter__(self) -> AsyncIterator[sessions_pb2.SessionEvent]:
        while not self._lost:
            yield await self._events.get()
        raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the watcher is {_BACKLOG} events behind")


class Watchers:
    """All who watch, and those inside the server who want to know of every change."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._listeners: list[Callable[[sessions_pb2.SessionEvent.Kind, Session], None]] = []

    @contextmanager
    def watching(self, principal: str) -> Iterator[Watch]:
        watch = Watch(principal)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def listen(self, listener: Callable[[sessions_pb2.SessionEvent.Kind, Session], None]) -> None:
        """Calls `listener` after every event."""
        self._listeners.append(listener)

    def tell(self, kind: sessions_pb2.SessionEvent.Kind, session: Session) -> None:
        event = sessions_pb2.SessionEvent(kind=kind, session=session.message())
        for watch in self._watches:
            if watch.principal == session.principal:
                watch.put(event)
        for listener in self._listeners:
            listener(kind, session)
