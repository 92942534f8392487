"""Takes messages to the executor, and what it has to say back to the calls that wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .executor import MALFORMED, MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .executor import Executor

_STREAM = 0

# Messages that clients are slow to take stay with the executor beyond this, and it then waits.
_HELD_BYTES = 16 * 1024 * 1024


class MalformedError(ValueError):
    """What a client sent is not a run of records; the message says where."""


class Route:
    """One call's way to the executor and back, in order both ways."""

    def __init__(self, replies: Replies, executor: Executor, number: int) -> None:
        self._replies = replies
        self._executor = executor
        self._number = number
        self._messages: deque[bytes] = deque()
        self._submitted = 0
        self._executed = 0
        self._finishing = False
        self._malformed: str | None = None
        self._waiter: asyncio.Future[None] | None = None

    def submit(self, message: bytes) -> None:
        self._submitted += 1
        self._executor.submit(message, self._number)

    def attach(self, socket: int, inflate: Callable[[bytes], bytes]) -> None:
        """As :meth:`.Executor.attach`; nothing more will be submitted."""
        self._submitted += 1
        self._executor.attach(socket, inflate)
        self.finish()

    async def begin(self) -> None:
        """As :meth:`.Executor.begin`; returns when it is done."""
        self._submitted += 1
        self._executor.begin()
        while self._executed != self._submitted:
            await self._replies.progress()

    def finish(self) -> None:
        """Nothing more will be submitted: :meth:`next` returns None after the last message."""
        self._finishing = True
        self._wake()

    async def next(self) -> bytes | None:
        """The next message.

        Raises:
            MalformedError: what was submitted here could not be read.
        """
        while not self._messages:
            if self._malformed is not None:
                raise MalformedError(self._malformed)
            if self._finishing and self._executed == self._submitted:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        message = self._messages.popleft()
        self._replies.released(len(message))
        return message

    def refuse(self, reason: str) -> None:
        """What came next could not be submitted: :meth:`next` raises after the messages that are here."""
        self._malformed = reason
        self._wake()

    def reopen(self, replies_received: int, *, by_socket: bool) -> int:
        """As :meth:`.Executor.resume`, for another call: what the last one did not take, this one does."""
        self.discard()
        self._finishing = False
        self._malformed = None
        return self._executor.resume(replies_received, by_socket)

    def detach(self) -> bool:
        """As :meth:`.Executor.detach`."""
        return self._executor.detach()

    def put(self, kind: int, payload: bytes) -> None:
        """Takes one item of :meth:`.Executor.collect`."""
        if kind == MESSAGE:
            self._messages.append(payload)
        else:
            self._executed += 1
            if kind == MALFORMED:
                self._malformed = payload.decode(errors="replace")
        self._wake()

    def discard(self) -> None:
        """Drops what nobody will take any more."""
        self._replies.released(sum(map(len, self._messages)))
        self._messages.clear()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Replies:
    """Collects from the executor as soon as there is something, on the event loop, without a task of its own."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self.stream = Route(self, executor, _STREAM)
        self._routes = {_STREAM: self.stream}
        self._last_route = _STREAM
        self._held = 0
        self._paused = False
        self._progress: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(executor.fileno(), self._collect)

    @contextmanager
    def open(self) -> Iterator[Route]:
        """A route for one unary call."""
        self._last_route += 1
        number, route = self._last_route, Route(self, self._executor, self._last_route)
        self._routes[number] = route
        try:
            yield route
        finally:
            del self._routes[number]
            route.discard()

    async def progress(self) -> None:
        """Returns when the executor has executed something more."""
        await asyncio.shield(self._progress)

    def released(self, size: int) -> None:
        """A call has taken `size` bytes of what is held for it."""
        self._held -= size
        if self._paused and self._held < _HELD_BYTES:
            self._paused = False
            self._loop.add_reader(self._executor.fileno(), self._collect)

    def _collect(self) -> None:
        for number, kind, payload in self._executor.collect():
            route = self._routes.get(number)
            if route is not None:  # else its call is gone
                if kind == MESSAGE:
                    self._held += len(payload)
                route.put(kind, payload)
        if self._held >= _HELD_BYTES and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._executor.fileno())
        progress, self._progress = self._progress, self._loop.create_future()
        progress.set_result(None)
