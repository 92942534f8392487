"""A Compute as this process has it: a server, and this process's session on it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar

import grpc

from jupyter_skytorch.device.errors import SessionLost
from skytorch_wire import metrics_pb2, metrics_pb2_grpc, sessions_pb2, sessions_pb2_grpc

from . import functions, records, registry
from .checkpoints import Checkpoints
from .lease import Lease
from .status import State, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from types import TracebackType

    import torch

    from jupyter_skytorch.session import Session
    from jupyter_skytorch.session.control import Control
    from skytorch_wire.objects import ObjectInfo

    from .expiry import Expiry
    from .handshake import Handshake

__all__ = ["Compute"]

T = TypeVar("T")
P = ParamSpec("P")

_ANSWER_SECONDS = 3.0
_FAREWELL_SECONDS = 2.0
_STATES: dict[str, State] = {"live": "connected", "lost": "lost", "closed": "closed"}


class Compute:
    """A server and this process's session on it; made by :func:`jupyter_skytorch.connect`.

    As a context manager it closes at the end of the block.
    """

    def __init__(
        self,
        name: str,
        handshake: Handshake,
        session: Session,
        control: Control,
    ) -> None:
        self.name = name
        self.place = handshake.place
        self.session = session
        self.boot_id: str = handshake.created.boot_id
        self._server = handshake.created.capabilities
        self._session_id: str = handshake.created.session.session_id
        self._channel = handshake.channel
        self._metadata = handshake.metadata
        self._control = control
        self._sessions = sessions_pb2_grpc.SessionsStub(self._channel)
        self._metrics = metrics_pb2_grpc.MetricsStub(self._channel)
        self._checkpoints = Checkpoints(name, session, self._sessions, self._metadata, control)
        self.restorable: int = handshake.created.checkpoints
        """How many checkpoints there were on the server when it was connected to."""
        self._pid = os.getpid()
        self._closing = threading.Lock()
        self._left = False
        self._lease = Lease(
            self._sessions,
            self._metadata,
            self.place,
            handshake.created.session,
            lambda: self.session.state == "live",
            self._lose,
            reconnect_timeout=session.reconnect_timeout,
        )
        self._lease.start(control)

    @property
    def provider(self) -> str:
        """What provisioned the server: "local" or "address"."""
        return self.place.provider

    @property
    def address(self) -> str:
        """Where the server is, in a form that connect() takes."""
        return str(self.place.address)

    @property
    def state(self) -> State:
        """Whether the session lives."""
        return _STATES[self.session.state]

    @property
    def reason(self) -> str:
        """Why the session is lost; empty while it lives."""
        return self.session.reason

    @property
    def default_device(self) -> Literal["cpu", "cuda"]:
        """The type of device that is used when none is named: "cuda" where the server has one."""
        return "cuda" if any(device.type == "cuda" for device in self.session.devices) else "cpu"

    def device(self, type: Literal["cpu", "cuda"] | None = None, index: int = 0) -> torch.device:  # noqa: A002
        """Return the torch device that stands for one of the server's: ``torch.device("sky", i)``.

        Without a type: the server's CUDA device where it has one, else its CPU. Raises SkyError for a device that
        the server does not have.
        """
        return self.session.device(type or self.default_device, index)

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the session's process, beside its tensors, and return what it returns.

        Sky tensors among the arguments, also inside modules and other objects, are the very tensors there; nothing of
        them travels. Tensors that come back stay there and are sky tensors here. All else is pickled (cloudpickle),
        with the code of the notebook and of modules beside it. There, the device is called "cuda" or "cpu", and a
        CUDA device is where tensors are made if nothing else is said.

        What the function prints appears here as it is printed. What it raises is raised here, with the traceback there
        as its cause. An interrupt is a KeyboardInterrupt there.

        Raises SkyError when the server runs no functions, or runs another version of Python.
        """
        __tracebackhide__ = True
        return functions.run(self, function, args, kwargs)

    def remote(self, function: Callable[P, T]) -> functions.RemoteFunction[P, T]:
        """Return the function as one that is always called by :meth:`run`; for use as a decorator."""
        return functions.RemoteFunction(self, function)

    @property
    def expiry(self) -> Expiry:
        """When the session ends by itself, as things are."""
        return self._lease.expiry

    def status(self) -> Status:
        """Ask the server how the session is. Answers within seconds, also when the server does not."""
        round_trip: float | None = None
        session = sessions_pb2.Session()
        if self.session.state == "live":
            with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError):
                round_trip, session = self._control.run(self._ask(), _ANSWER_SECONDS)
        return Status(
            name=self.name,
            provider=self.provider,
            address=self.address,
            state=self.state,
            reason=self.reason,
            devices=tuple(self.session.devices),
            torch_version=self.session.torch_version,
            server_version=self._server.package_version,
            session_id=self._session_id,
            round_trip_seconds=round_trip,
            session=session,
        )

    async def _ask(self) -> tuple[float, sessions_pb2.Session]:
        began = time.perf_counter()
        alive = sessions_pb2.KeepAliveRequest(session_id=self._session_id)
        await self._sessions.KeepAlive(alive, metadata=self._metadata)
        round_trip = time.perf_counter() - began
        get = sessions_pb2.GetSessionRequest(session_id=self._session_id)
        return round_trip, await self._sessions.Get(get, metadata=self._metadata)

    def metrics(self) -> list[metrics_pb2.Metric]:
        """Return what the server and its machine are doing now. Raises SessionLost when it does not answer."""

        async def ask() -> list[metrics_pb2.Metric]:
            snapshot = await self._metrics.GetMetrics(metrics_pb2.GetMetricsRequest(), metadata=self._metadata)
            return list(snapshot.metrics)

        return self._answer(ask())

    def sessions(self) -> list[sessions_pb2.Session]:
        """Return the caller's sessions on this server, this one among them. Raises SessionLost."""

        async def ask() -> list[sessions_pb2.Session]:
            reply = await self._sessions.List(sessions_pb2.ListSessionsRequest(), metadata=self._metadata)
            return list(reply.sessions)

        return self._answer(ask())

    def save(self, name: str, thing: object) -> ObjectInfo:
        """Keep tensors, a module, an optimizer, or any structure of them on the server by a name; return their sizes.

        It is kept until it is forgotten, also when this kernel ends: :func:`jupyter_skytorch.attach` and :meth:`load`
        bring it back. Its tensors are kept themselves, not copies of them: what a training step writes to them later
        is in what is loaded. The rest (which tensors there are, numbers, CPU tensors) stays as it is now, until it is
        saved again.

        Raises SkyError for what can't be kept.
        """
        return self.session.objects.save(name, thing)

    def load(self, name: str) -> Any:
        """Return what was saved by a name; nothing of its tensors travels.

        It is unpickled here: load from servers that you trust. Raises SkyError when there is no such object.
        """
        return self.session.objects.load(name)

    def objects(self) -> list[ObjectInfo]:
        """Return what is kept by a name, with sizes in bytes."""
        return self.session.objects.list()

    def forget(self, name: str) -> None:
        """Take a name away; what nothing else holds of its tensors is freed. Raises SkyError when there is none."""
        self.session.objects.forget(name)

    def checkpoint(self, name: str | None = None, objects: Sequence[str] = ()) -> sessions_pb2.Checkpoint:
        """Write named objects, or all that there are, to the server's disk, in the place of an older checkpoint.

        `name` is the checkpoint's, otherwise this Compute's. Raises SkyError when the server keeps none, or can't.
        """
        return self._checkpoints.write(name or self.name, objects)

    def restore(self, name: str, objects: Sequence[str] = ()) -> list[str]:
        """Read named objects, or all, of a checkpoint back; return their names, for :meth:`load`. Raises SkyError."""
        return self._checkpoints.restore(name, objects)

    def checkpoints(self) -> list[sessions_pb2.Checkpoint]:
        """Return the checkpoints that can be restored, oldest first. Raises SkyError when the server keeps none."""
        return self._checkpoints.list()

    def delete_checkpoint(self, name: str) -> None:
        """Delete a checkpoint. Raises SkyError when there is none."""
        self._checkpoints.delete(name)

    def close(self) -> None:
        """Close the session and free what it holds on the server; its tensors raise SessionClosed from then on."""
        if not self._leave():
            return
        alive = self.session.state == "live"
        try:
            self.session.close()
        finally:
            self._farewell(_FAREWELL_SECONDS, alive=alive)
            self._strike_off()

    def close_at_exit(self, seconds: float) -> None:
        """Leave in at most that many seconds, without waiting for what was issued; what has a name stays."""
        if self._leave():
            alive = self.session.state == "live"
            self.session.close()
            if not self._farewell(seconds, alive=alive, keep_named=True):
                self._strike_off()

    def _leave(self) -> bool:
        """Take this Compute off the lists of this process and this machine; False when that was done before."""
        with self._closing:
            if self._left or os.getpid() != self._pid:
                return False
            self._left = True
        registry.remove(self)
        self._lease.stop()
        return True

    def _strike_off(self) -> None:
        """Nobody is to find the session any more; one that was taken over is another kernel's."""
        records.remove(self._session_id, pid=self._pid)

    def _farewell(self, seconds: float, *, alive: bool, keep_named: bool = False) -> bool:
        """Tell a living server that the session is over, and close the channel; whether something stays there."""

        async def farewell() -> bool:
            try:
                if not alive:
                    return False
                request = sessions_pb2.CloseSessionRequest(session_id=self._session_id, keep_named=keep_named)
                return bool((await self._sessions.Close(request, metadata=self._metadata)).kept)
            finally:
                await self._channel.close()

        with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError):
            return self._control.run(farewell(), seconds)
        return False

    def _lose(self, reason: str) -> None:
        self.session.lose(reason)

    def _answer(self, call: Coroutine[Any, Any, T]) -> T:
        if self.session.state != "live":
            call.close()
            raise SessionLost(f"{self.name} is {self.state}: {self.reason or 'it was closed'}")
        try:
            return self._control.run(call, _ANSWER_SECONDS)
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            what = error.details() if isinstance(error, grpc.aio.AioRpcError) else "it took too long"
            raise SessionLost(f"{self.name} at {self.address} did not answer: {what}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        devices = ", ".join(f"{device.type}:{device.index}" for device in self.session.devices)
        state = f"{self.state}: {self.reason}" if self.state == "lost" else self.state
        return f"<Compute {self.name!r} at {self.address} ({devices}), {state}>"
