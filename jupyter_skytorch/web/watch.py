"""Looking at one server: its health, its sessions and its metrics."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc.aio

from jupyter_skytorch.web import health
from jupyter_skytorch.web.connection import Connection, connect
from jupyter_skytorch.web.history import History, Series, to_series

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jupyter_skytorch.web.targets import Target
    from skytorch_wire import sessions_pb2

# A server that is silent for longer is called unreachable. It may take three seconds over a slow source of metrics.
_PATIENCE_SECONDS = 4.0
_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 8.0
# How often a server is asked for its sessions, and for its health where its metrics cannot be had.
_ASK_SECONDS = 1.0


class Watch:
    """What one server says, asked once by `ask` or followed between `start` and `stop`."""

    def __init__(
        self,
        target: Target,
        *,
        interval: float,
        history: float,
        on_change: Callable[[], None],
        on_sample: Callable[[Watch, list[Series]], None],
    ) -> None:
        self.target = target
        self.health = health.unknown()
        self.history = History(history)
        self.boot_id = ""
        # By session id; None while the server has not listed them (it was never reached, or does not let us).
        self.sessions: dict[str, sessions_pb2.Session] | None = None
        self.listed_at = datetime.min.replace(tzinfo=UTC)
        self._interval = interval
        self._on_change = on_change
        self._on_sample = on_sample
        self._task: asyncio.Task[None] | None = None

    @property
    def _kernel_only(self) -> bool:
        """The server's token is in a kernel's memory only, so that all there is to ask for here is health."""
        return self.target.credential.kind == "kernel-only"

    async def ask(self) -> None:
        """Brings health and sessions up to date, in a few seconds at most."""
        try:
            async with connect(self.target, patience=_PATIENCE_SECONDS) as connection:
                await self._ask(connection)
                self._observe("serving")
        except (grpc.aio.AioRpcError, TimeoutError, OSError, ValueError, health.ServerEndedError) as error:
            self._observe(*health.from_failure(error))

    def start(self) -> None:
        """Follows the server until `stop`, through its absences too."""
        if self._task is None:
            self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Ends the streams and closes the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            # What it will be when somebody looks again is not known.
            self.health = health.unknown()

    async def _follow(self) -> None:
        delay = _FIRST_RETRY_SECONDS
        while True:
            try:
                async with connect(self.target, patience=_PATIENCE_SECONDS) as connection:
                    await self._ask(connection)
                    async for _ in self._polls(connection) if self._kernel_only else self._samples(connection):
                        self._observe("serving")
                        delay = _FIRST_RETRY_SECONDS
            except (grpc.aio.AioRpcError, TimeoutError, OSError, ValueError, health.ServerEndedError) as error:
                self._observe(*health.from_failure(error))
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LAST_RETRY_SECONDS)

    async def _polls(self, connection: Connection) -> AsyncIterator[None]:
        while True:
            yield
            await asyncio.sleep(_ASK_SECONDS)
            await self._ask(connection)

    async def _samples(self, connection: Connection) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with aclosing(connection.snapshots(self._interval)) as snapshots:
            async for snapshot in snapshots:
                sample = to_series(snapshot)
                self.history.add(sample)
                self._on_sample(self, sample)
                if loop.time() - asked >= _ASK_SECONDS:
                    asked = loop.time()
                    await self._ask(connection)
                yield

    async def _ask(self, connection: Connection) -> None:
        await connection.check()
        if not self._kernel_only:
            asked_at = datetime.now(UTC)
            answer = await connection.sessions()
            sessions = {session.session_id: session for session in answer.sessions}
            changed = (answer.boot_id, sessions) != (self.boot_id, self.sessions)
            self.boot_id, self.sessions, self.listed_at = answer.boot_id, sessions, asked_at
            if changed:
                self._on_change()

    def _observe(self, state: health.State, reason: str = "") -> None:
        before = self.health
        self.health = before.then(state, reason)
        if self.health is not before:
            self._on_change()
