"""A Compute: a torch server, and this process's session on it."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar

from jupyter_skytorch.device.errors import ConnectError, SkyError
from jupyter_skytorch.session import control as control_thread
from skytorch_wire import sessions_pb2

from . import functions, registry
from . import tensors as tensors_
from .expiry import Expiry
from .opening import RECONNECT_SECONDS, one_line_errors
from .providers import check_allowed
from .status import State, Status
from .terms import Terms
from .waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from types import TracebackType

    import torch
    from kubernetes_asyncio.client import CoreV1Event

    from jupyter_skytorch.session import Session
    from skytorch_wire import metrics_pb2
    from skytorch_wire.objects import ObjectInfo

    from .connection import Connection
    from .kubernetes.provision import Provision
    from .kubernetes.summary import Summary
    from .place import Place

__all__ = ["Compute"]

T = TypeVar("T")
P = ParamSpec("P")

_APPLY_SECONDS = 60.0
_READY_SECONDS = 300.0
_STATES: dict[str, State] = {"live": "connected", "lost": "lost", "closed": "closed"}


class Compute:
    """A torch server, and this process's session on it.

    One that is made by this constructor is a server in Kubernetes; :func:`jupyter_skytorch.connect` answers with
    one of any kind. As a context manager (``with``) it closes the session at the end of the block. With ``async
    with``, the block begins when the server is ready, and at its end what was made in Kubernetes is deleted.
    """

    def __init__(
        self,
        name: str,
        *,
        image: str | None = None,
        command: Sequence[str] | None = None,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        resources: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        suspend: bool = False,
        volumes: Mapping[str, str] | Sequence[Mapping[str, Any]] | None = None,
        host: str | None = None,
        port: int = 50051,
        namespace: str | None = None,
        suspend_after: float | None = None,
        on_events: Callable[[CoreV1Event], object] | None = None,
        on_metrics: Callable[[list[metrics_pb2.Metric]], object] | None = None,
    ) -> None:
        """Make a Compute in Kubernetes, or change the one of that name to what is said here; it need not be ready yet.

        `image` is that of the server, with `command` and `args` in place of its own and `env` in its environment.
        Without an image, the Compute exists already, and stays as it is. `resources` are amounts by name, as
        ``{"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": 1}``, or those under "requests" and "limits". `labels` and
        `annotations` are the pod's. `suspend`: it is made, or changed, and nothing runs until :meth:`resume`.
        `volumes` are kept while it is suspended: sizes by name, with where they are mounted, as
        ``{"data": "20Gi:/data"}``, or whole volume claim templates.

        `host` is where the server is reached, where that is neither its name in the cluster nor, from outside, a
        port-forward that is made as needed. `namespace` is that of :func:`init` unless told. `suspend_after` is the
        number of seconds without use after which the operator suspends it; 0 for never.

        `on_events` is called with each event of the cluster about it (:func:`log_event` logs them), `on_metrics` with
        what the server measures each second while there is a session; both on a thread of their own.

        What others have set in the Compute, and isn't named here, stays. Raises ValueError for what can't be right,
        ConnectError, one line, for what the cluster refuses, ImportError without kubernetes-asyncio.
        """
        from . import kubernetes

        kubernetes.require()
        from .kubernetes.provision import Provision

        self.name = name
        self.connection: Connection | None = None
        """To its server, once there was one."""
        wanted = kubernetes.Specification(
            image=image,
            command=command,
            args=args,
            env=env,
            resources=resources,
            labels=labels,
            annotations=annotations,
            suspend=suspend,
            volumes=volumes,
            host=host,
            port=port,
            namespace=namespace,
            suspend_after=suspend_after,
            on_events=on_events,
            on_metrics=on_metrics,
        )
        with one_line_errors(), waiting(f"asking the cluster for {name}"):
            check_allowed(kubernetes.NAME)
            made = control_thread.get().run(Provision.make(name, wanted), _APPLY_SECONDS)
        self.provision: Provision | None = made
        """It in its cluster; None where it isn't in one."""
        self._belong(made)

    @classmethod
    def of(cls, connection: Connection, provision: Provision | None = None) -> Self:
        """The Compute of a connection that was made already."""
        self = cls.__new__(cls)
        self.name, self.connection, self.provision = connection.name, connection, provision
        if provision is not None:
            self._belong(provision)
        return self

    @property
    def provider(self) -> str:
        """What provisioned the server: "local", "address" or "kubernetes"."""
        return "kubernetes" if self.provision is not None else self.place.provider

    @property
    def place(self) -> Place:
        """Where the server of its session is, and how to speak to it; connects if need be."""
        return self._connected().place

    @property
    def address(self) -> str:
        """Where the server is; what connect() takes, unless the server is in Kubernetes."""
        return self.provision.address if self.provision is not None else str(self.place.address)

    @property
    def state(self) -> State:
        """Whether the session lives; of one in Kubernetes without a session, how the Compute is."""
        connection, provision = self.connection, self.provision
        if provision is None or (connection is not None and not connection.left):
            return _STATES[self._connected().session.state]
        return provision.state

    @property
    def reason(self) -> str:
        """Why the session is lost, or what keeps the Compute from being ready; else empty."""
        connection, provision = self.connection, self.provision
        if provision is None or (connection is not None and not connection.left):
            return self._connected().session.reason
        return provision.reason

    @property
    def boot_id(self) -> str:
        """Which run of the server the session is of."""
        return self._connected().boot_id

    @property
    def restorable(self) -> int:
        """How many checkpoints there were on the server when it was connected to."""
        return self._connected().restorable

    @property
    def expiry(self) -> Expiry:
        """When the session ends by itself, as things are."""
        return self.connection.expiry if self.connection is not None else Expiry.of(sessions_pb2.Expiry())

    def session(self) -> Session:
        """Return this process's session on the server.

        One in Kubernetes is waited for and connected to if need be, with the progress shown. Raises ConnectError.
        """
        return self._connected().session

    @property
    def default_device(self) -> Literal["cpu", "cuda"]:
        """The type of device that is used when none is named: "cuda" where the server has one."""
        return "cuda" if any(device.type == "cuda" for device in self.session().devices) else "cpu"

    def device(self, type: Literal["cpu", "cuda"] | None = None, index: int = 0) -> torch.device:  # noqa: A002
        """Return the torch device that stands for one of the server's: ``torch.device("sky", i)``.

        Without a type: the server's CUDA device where it has one, else its CPU. Raises SkyError for a device that
        the server does not have.
        """
        return self.session().device(type or self.default_device, index)

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

    def send_tensors(self, *tensors: torch.Tensor) -> str:
        """Put copies of tensors into the session's inbox on the server; return what it answers.

        Functions that :meth:`run` runs take them there, in this order (``skytorch_server.tensors.take``).
        """
        __tracebackhide__ = True
        return tensors_.send(self, tensors)

    def receive_tensors(self, count: int = 1, parameters: Mapping[str, str] | None = None) -> list[torch.Tensor]:
        """Return the next `count` tensors that functions on the server have put out; they are sky tensors.

        With ``parameters={"shape": "20,20"}`` and nothing put out, tensors of random numbers are made there: a
        self-test. Raises LookupError when there are fewer, and takes none then.
        """
        __tracebackhide__ = True
        return tensors_.receive(self, count, parameters)

    def stream_tensors(
        self, *tensors: torch.Tensor, fn: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> list[torch.Tensor]:
        """Return what a function makes of each of some tensors on the server, in their order; they are sky tensors.

        Without a function they are copies. Raises what the function raises, and TypeError when it returns no tensor.
        """
        __tracebackhide__ = True
        return tensors_.stream(self, tensors, fn)

    def status(self) -> Status:
        """Ask the server how the session is. Answers within seconds, also when the server does not."""
        connection = self.connection
        if connection is None or (self.provision is not None and connection.left):
            return Status(self.name, self.provider, self.address, self.state, self.reason, summary=self._summary)
        round_trip, session = connection.look()
        return Status(
            name=self.name,
            provider=self.provider,
            address=self.address,
            state=self.state,
            reason=self.reason,
            devices=tuple(connection.session.devices),
            torch_version=connection.session.torch_version,
            server_version=connection.server.package_version,
            session_id=connection.session.id,
            round_trip_seconds=round_trip,
            session=session,
            summary=self._summary,
        )

    @property
    def _summary(self) -> Summary | None:
        return self.provision.summary if self.provision is not None else None

    def metrics(self) -> list[metrics_pb2.Metric]:
        """Return what the server and its machine are doing now. Raises SessionLost when it does not answer."""
        return self._connected().metrics()

    def sessions(self) -> list[sessions_pb2.Session]:
        """Return the caller's sessions on this server, this one among them. Raises SessionLost."""
        return self._connected().sessions()

    def save(self, name: str, thing: object) -> ObjectInfo:
        """Keep tensors, a module, an optimizer, or any structure of them on the server by a name; return their sizes.

        It is kept until it is forgotten, also when this kernel ends: :func:`jupyter_skytorch.attach` and :meth:`load`
        bring it back. Its tensors are kept themselves, not copies of them: what a training step writes to them later
        is in what is loaded. The rest (which tensors there are, numbers, CPU tensors) stays as it is now, until it is
        saved again.

        Raises SkyError for what can't be kept.
        """
        return self.session().objects.save(name, thing)

    def load(self, name: str) -> Any:
        """Return what was saved by a name; nothing of its tensors travels.

        It is unpickled here: load from servers that you trust. Raises SkyError when there is no such object.
        """
        return self.session().objects.load(name)

    def objects(self) -> list[ObjectInfo]:
        """Return what is kept by a name, with sizes in bytes."""
        return self.session().objects.list()

    def forget(self, name: str) -> None:
        """Take a name away; what nothing else holds of its tensors is freed. Raises SkyError when there is none."""
        self.session().objects.forget(name)

    def checkpoint(self, name: str | None = None, objects: Sequence[str] = ()) -> sessions_pb2.Checkpoint:
        """Write named objects, or all that there are, to the server's disk, in the place of an older checkpoint.

        `name` is the checkpoint's, otherwise this Compute's. Raises SkyError when the server keeps none, or can't.
        """
        return self._connected().checkpoints.write(name or self.name, objects)

    def restore(self, name: str, objects: Sequence[str] = ()) -> list[str]:
        """Read named objects, or all, of a checkpoint back; return their names, for :meth:`load`. Raises SkyError."""
        return self._connected().checkpoints.restore(name, objects)

    def checkpoints(self) -> list[sessions_pb2.Checkpoint]:
        """Return the checkpoints that can be restored, oldest first. Raises SkyError when the server keeps none."""
        return self._connected().checkpoints.list()

    def delete_checkpoint(self, name: str) -> None:
        """Delete a checkpoint. Raises SkyError when there is none."""
        self._connected().checkpoints.delete(name)

    def connect(
        self,
        *,
        terms: Terms | None = None,
        timeout: float = _READY_SECONDS,
        reconnect_timeout: float = RECONNECT_SECONDS,
        resume: bool = False,
    ) -> Connection:
        """Begin a session on a Compute in Kubernetes, unless one lives; what a lost one held is gone.

        Waits until it is ready, `timeout` seconds in all, and shows the progress; `resume`: also when it is suspended.
        Raises ConnectError.
        """
        from .kubernetes import connecting

        provision = self._provisioned("connected to anew")
        return connecting.connect(self, provision, terms or Terms(), timeout, reconnect_timeout, resume=resume)

    async def ready(self, timeout: float = _READY_SECONDS) -> None:  # noqa: ASYNC109  (the bound is in what is raised)
        """Wait until the server can be connected to, at most so many seconds. Raises ConnectError: why it can't."""
        if self.provision is None:
            if self.state != "connected":
                raise ConnectError(f"{self.name} is {self.state}: {self.reason or 'it was closed'}")
            return
        with waiting(f"waiting for {self.name}") as say:
            await self._on_cluster(self.provision.ready(timeout, say))
        if self.connection is not None and not self.connection.live:
            self._leave()

    def is_ready(self) -> bool:
        """Whether the server can be connected to, as far as is known now."""
        return self.provision.is_ready() if self.provision is not None else self.state == "connected"

    @property
    def resource(self) -> dict[str, Any] | None:
        """The Compute as the cluster has it now, as JSON; None when it was deleted, or is not in Kubernetes."""
        return self.provision.resource if self.provision is not None else None

    async def suspend(self) -> None:
        """Have nothing run; volumes are kept. The session is closed. Raises ConnectError."""
        provision = self._provisioned("suspended")
        await asyncio.to_thread(self._leave)
        await self._on_cluster(provision.suspend(suspend=True))

    async def resume(self) -> None:
        """Have it run again; :meth:`ready` waits for it. Raises ConnectError."""
        await self._on_cluster(self._provisioned("resumed").suspend(suspend=False))

    async def delete(self, grace_period_seconds: int = 30) -> None:
        """Delete the Compute, and wait until it is gone. Raises ConnectError.

        Its server has `grace_period_seconds` to end in order, where this user may delete pods; else what its pod says.
        """
        provision = self._provisioned("deleted")
        await asyncio.to_thread(self._leave)
        await self._on_cluster(provision.delete(grace_period_seconds))

    def close(self) -> None:
        """Close the session and free what it holds on the server; its tensors raise SessionClosed from then on.

        What is in Kubernetes runs on, and can be connected to again.
        """
        self._leave()

    def close_at_exit(self, seconds: float) -> None:
        """Leave in at most that many seconds, without waiting for what was issued; what has a name stays."""
        if self.connection is not None and self.connection.leave():
            registry.remove(self)
            self.connection.close_at_exit(seconds)

    def _leave(self) -> None:
        if self.connection is not None and self.connection.leave():
            registry.remove(self)
            self.connection.close()

    def _connected(self) -> Connection:
        connection = self.connection
        if connection is None or (self.provision is not None and connection.left):
            connection = self.connect()
        return connection

    def _belong(self, provision: Provision) -> None:
        """It is followed for as long as somebody has this object, and no session outlives it."""
        weakref.finalize(self, provision.stop).atexit = False
        if self.connection is not None:
            provision.tell_end(self.connection.session.lose)

    def _provisioned(self, what: str) -> Provision:
        if self.provision is None:
            raise SkyError(f"{self.name} is at {self.address}, and only a Compute in Kubernetes can be {what}")
        return self.provision

    async def _on_cluster(self, call: Coroutine[Any, Any, T]) -> T:
        """Await, on any loop, what runs on the control thread's."""
        with one_line_errors():
            return await asyncio.wrap_future(control_thread.get().spawn(call))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self.ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.provision is not None:
            await self.delete()
        else:
            await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        connection = self.connection
        state = f"{self.state}: {self.reason}" if self.reason else self.state
        if connection is None or (self.provision is not None and connection.left):
            return f"<Compute {self.name!r} at {self.address}, {state}>"
        devices = ", ".join(f"{device.type}:{device.index}" for device in connection.session.devices)
        return f"<Compute {self.name!r} at {self.address} ({devices}), {state}>"
