"""Keeps a session's lease, and notices when the session or its server is gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import grpc

from skytorch_wire import sessions_pb2

from .expiry import Expiry
from .probe import Found, probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from jupyter_skytorch.session.control import Control
    from skytorch_wire import sessions_pb2_grpc

    from .credentials import Metadata
    from .place import Place

__all__ = ["Lease"]

_CALL_SECONDS = 2.0
_LONGEST_PAUSE = 60.0
"""Between two heartbeats: by them others tell a kernel that lives from one that doesn't."""
_RETRY_SECONDS = 0.25
_REFUSED_SECONDS = 5.0
"""How long a machine on the network may refuse connections, as it does while a server restarts behind its address."""


class _GoneError(Exception):
    """The session is no more; the message says why."""


class Lease:
    """Renews a session's lease every quarter of it, or every minute, and watches the session, until stopped or lost."""

    def __init__(
        self,
        stub: sessions_pb2_grpc.SessionsStub,
        metadata: Metadata,
        place: Place,
        session: sessions_pb2.Session,
        live: Callable[[], bool],
        lost: Callable[[str], None],
        *,
        reconnect_timeout: float,
    ) -> None:
        """`live` says whether this process has it still; `lost` is called once, on the control thread, with the reason.

        `reconnect_timeout` in seconds is how long the network may be away.
        """
        self.expiry = Expiry.of(session.expiry)
        """When the session ends, as the server said last."""
        self._stub = stub
        self._metadata = metadata
        self._place = place
        self._session_id = session.session_id
        self._seconds = session.lease_seconds
        self._live = live
        self._lost = lost
        self._reconnect_timeout = reconnect_timeout
        self._running: Future[None] | None = None

    def start(self, control: Control) -> None:
        """Begin to renew and to watch."""
        self._running = control.spawn(self._run())

    def stop(self) -> None:
        """Renew no more; the lease then runs out unless the session is closed."""
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        tasks = [asyncio.create_task(self._renew()), asyncio.create_task(self._watch())]
        try:
            # Either ends only by finding that the session is no more.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        self._lost(str(done.pop().exception()))

    async def _renew(self) -> None:
        while True:
            pause = min(self._seconds / 4, _LONGEST_PAUSE)
            await asyncio.sleep(pause)
            await self._keep_alive(max(pause, 1.0))

    async def _keep_alive(self, seconds: float) -> bool:
        """Renew once. False when the server cannot be asked, which is no answer. Raises _GoneError."""
        if not self._live():
            # It may be another kernel's by now, and is not to be kept for this one.
            raise _GoneError("it is over")
        request = sessions_pb2.KeepAliveRequest(session_id=self._session_id)
        try:
            answer = await self._stub.KeepAlive(request, timeout=seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                # A server that restarted does not know the session; one that ended it says why.
                raise _GoneError(error.details() or "the server no longer has the session") from None
            return False
        self.expiry = Expiry.of(answer.expiry)
        return True

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self._follow()
            # Whatever broke the stream: what it means is found out by asking again.
            await self._answer()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        async for event in self._stub.Watch(sessions_pb2.WatchSessionsRequest(), metadata=self._metadata):
            if event.session.session_id != self._session_id:
                continue
            if event.kind == sessions_pb2.SessionEvent.ENDED:
                raise _GoneError(event.session.reason or "the server ended the session")
            self.expiry = Expiry.of(event.session.expiry)

    async def _answer(self) -> None:
        """Wait until the server answers again. Raises _GoneError when it does not."""
        broke = time.monotonic()
        while not await self._keep_alive(_CALL_SECONDS):
            gone = time.monotonic() - broke
            found = await probe(self._place.door, _CALL_SECONDS)
            if found is Found.NOTHING and (self._place.door.loopback or gone > _REFUSED_SECONDS):
                raise _GoneError(f"the server at {self._place.address} is gone")
            if gone > self._reconnect_timeout:
                raise _GoneError(f"the server at {self._place.address} has not answered for {gone:.0f} s")
            await asyncio.sleep(_RETRY_SECONDS)
