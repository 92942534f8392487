"""A connection to a server: this process's session there, and the calls about it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from jupyter_skytorch.device.errors import SessionLost
from skytorch_wire import metrics_pb2, metrics_pb2_grpc, sessions_pb2, sessions_pb2_grpc

from . import records
from .calling import Caller
from .checkpoints import Checkpoints
from .lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from jupyter_skytorch.session import Session
    from jupyter_skytorch.session.control import Control

    from .expiry import Expiry
    from .handshake import Handshake

__all__ = ["Connection"]

T = TypeVar("T")

_ANSWER_SECONDS = 3.0
_FAREWELL_SECONDS = 2.0
_METRICS_SECONDS = 1.0


class Connection:
    """This process's session on a server, from the handshake until it is left."""

    def __init__(self, name: str, handshake: Handshake, session: Session, control: Control) -> None:
        """`name` is the Compute's. The lease is kept from now on."""
        self.name = name
        self.place = handshake.place
        self.session = session
        self.server = handshake.created.capabilities
        self.boot_id: str = handshake.created.boot_id
        self.restorable: int = handshake.created.checkpoints
        self.left = False
        """Whether it was closed from here."""
        self._channel = handshake.channel
        self._metadata = handshake.metadata
        self._control = control
        self._sessions = sessions_pb2_grpc.SessionsStub(self._channel)
        self._metrics = metrics_pb2_grpc.MetricsStub(self._channel)
        self.checkpoints = Checkpoints(name, session, self._sessions, self._metadata, control)
        self._pid = os.getpid()
        self._closing = threading.Lock()
        self._watching: Future[None] | None = None
        self._lease = Lease(
            self._sessions,
            self._metadata,
            self.place,
            handshake.created.session,
            lambda: session.state == "live",
            session.lose,
            reconnect_timeout=session.reconnect_timeout,
        )
        self._lease.start(control)

    @property
    def live(self) -> bool:
        """Whether the session lives."""
        return self.session.state == "live"

    @property
    def expiry(self) -> Expiry:
        """When the session ends by itself, as things are."""
        return self._lease.expiry

    def look(self) -> tuple[float | None, sessions_pb2.Session]:
        """Seconds of a round trip, and the session as the server has it; None and an empty one without an answer."""
        if self.live:
            with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError):
                return self._control.run(self._look(), _ANSWER_SECONDS)
        return None, sessions_pb2.Session()

    async def _look(self) -> tuple[float, sessions_pb2.Session]:
        began = time.perf_counter()
        alive = sessions_pb2.KeepAliveRequest(session_id=self.session.id)
        await self._sessions.KeepAlive(alive, metadata=self._metadata)
        round_trip = time.perf_counter() - began
        get = sessions_pb2.GetSessionRequest(session_id=self.session.id)
        return round_trip, await self._sessions.Get(get, metadata=self._metadata)

    def metrics(self) -> list[metrics_pb2.Metric]:
        """What the server and its machine are doing now. Raises SessionLost."""

        async def ask() -> list[metrics_pb2.Metric]:
            snapshot = await self._metrics.GetMetrics(metrics_pb2.GetMetricsRequest(), metadata=self._metadata)
            return list(snapshot.metrics)

        return self._answer(ask())

    def sessions(self) -> list[sessions_pb2.Session]:
        """The caller's sessions on this server, this one among them. Raises SessionLost."""

        async def ask() -> list[sessions_pb2.Session]:
            reply = await self._sessions.List(sessions_pb2.ListSessionsRequest(), metadata=self._metadata)
            return list(reply.sessions)

        return self._answer(ask())

    def tell_metrics(self, callback: Callable[[list[metrics_pb2.Metric]], object]) -> None:
        """Have a callback called with what the server measures each second, for as long as the session lives."""
        self._watching = self._control.spawn(self._watch(Caller(callback, "on_metrics")))

    async def _watch(self, caller: Caller[list[metrics_pb2.Metric]]) -> None:
        request = metrics_pb2.StreamMetricsRequest(interval_seconds=_METRICS_SECONDS)
        try:
            while self.live:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    async for snapshot in self._metrics.StreamMetrics(request, metadata=self._metadata):
                        caller.tell(list(snapshot.metrics))
                await asyncio.sleep(_METRICS_SECONDS)
        finally:
            caller.stop()

    def leave(self) -> bool:
        """Say that this process is done with the session; False when that was said before, or it is a parent's."""
        with self._closing:
            if self.left or os.getpid() != self._pid:
                return False
            self.left = True
        self._lease.stop()
        if self._watching is not None:
            self._watching.cancel()
        return True

    def close(self) -> None:
        """End the session, and free what it holds on the server; after :meth:`leave`."""
        alive = self.live
        try:
            self.session.close()
        finally:
            self._farewell(_FAREWELL_SECONDS, alive=alive)
            self._strike_off()

    def close_at_exit(self, seconds: float) -> None:
        """As :meth:`close`, within so many seconds; waits for nothing that was issued, and what has a name stays."""
        alive = self.live
        self.session.close()
        if not self._farewell(seconds, alive=alive, keep_named=True):
            self._strike_off()

    def _strike_off(self) -> None:
        """Nobody is to find the session any more; one that was taken over is another kernel's."""
        records.remove(self.session.id, pid=self._pid)

    def _farewell(self, seconds: float, *, alive: bool, keep_named: bool = False) -> bool:
        """Tell a living server that the session is over, and close the channel; whether something stays there."""

        async def farewell() -> bool:
            try:
                if not alive:
                    return False
                request = sessions_pb2.CloseSessionRequest(session_id=self.session.id, keep_named=keep_named)
                return bool((await self._sessions.Close(request, metadata=self._metadata)).kept)
            finally:
                await self._channel.close()

        with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError):
            return self._control.run(farewell(), seconds)
        return False

    def _answer(self, call: Coroutine[Any, Any, T]) -> T:
        if not self.live:
            call.close()
            state = self.session.state
            raise SessionLost(f"{self.name} is {state}: {self.session.reason or 'it was closed'}")
        try:
            return self._control.run(call, _ANSWER_SECONDS)
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            what = error.details() if isinstance(error, grpc.aio.AioRpcError) else "it took too long"
            raise SessionLost(f"{self.name} at {self.place.address} did not answer: {what}") from None
