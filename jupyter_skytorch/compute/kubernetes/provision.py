"""A Compute as its cluster has it: applied, watched, suspended, resumed and deleted. On the control thread."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

from jupyter_skytorch.compute.calling import Caller

from . import conditions, locating, process
from .access import check_namespace
from .api import FIELD_MANAGER, computes_path
from .errors import ApiError, KubernetesError
from .events import follow_events
from .following import follow
from .spec import DEFAULT_PORT, check_name, specify, volume_names
from .summary import Summary, state_of
from .telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from jupyter_skytorch.compute.place import Place
    from jupyter_skytorch.compute.status import State

    from .api import Api
    from .spec import Specification

__all__ = ["Provision"]

_NOT_FOUND = 404
_GONE_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_HOPELESS_SECONDS = 5.0
"""What an earlier Compute of that name left behind is gone by then."""
_RESTART_SECONDS = 15.0
"""An API server that was heard before, and refuses, may just have been started again."""
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


class Provision:
    """One Compute of a namespace. Coroutines raise KubernetesError, one line."""

    def __init__(self, api: Api, name: str, wanted: Specification) -> None:
        """Use :meth:`make`."""
        self.name = name
        self.namespace = wanted.get("namespace") or api.access.namespace
        self.resource: dict[str, Any] | None = None
        """As the cluster had it last; None when it is gone."""
        self._api = api
        self.wanted = wanted
        self._path = computes_path(self.namespace, name)
        self._trouble: KubernetesError | None = None
        self._heard = -math.inf
        self._hopeless: float | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[Callable[[str], None]] = []
        self._loop = asyncio.get_running_loop()
        self._events = Caller(call, "on_events") if (call := wanted.get("on_events")) is not None else None
        self._reach = process.reach(api, name, self.namespace, wanted.get("host"))

    @classmethod
    async def make(cls, name: str, wanted: Specification) -> Provision:
        """Apply what is wanted, or without an image, find what there is; then follow it."""
        body = specify(check_name(name), wanted)
        if (namespace := wanted.get("namespace")) is not None:
            check_namespace(namespace)
        provision = cls(await process.api(), name, wanted)
        await provision._follow_events()
        if body is None:
            provision.resource = await provision._find()
        else:
            await provision._apply(body)
        provision._spawn(provision._follow())
        return provision

    @property
    def address(self) -> str:
        """Where its server is, seen from inside the cluster unless another host was given."""
        return str(self._reach.address(self._port))

    @property
    def same(self) -> tuple[str, str, str]:
        """What tells it from other Computes of this process."""
        return self._api.access.host, self.namespace, self.name

    @property
    def trouble(self) -> str:
        """Why the port-forward doesn't pass on, where there is one."""
        return self._reach.trouble

    def is_ready(self) -> bool:
        """Whether its server could be connected to when the cluster was heard of last."""
        return conditions.is_ready(self.resource)

    @property
    def state(self) -> State:
        """How the cluster has it."""
        return state_of(self.resource)

    @property
    def reason(self) -> str:
        """What keeps it from being ready; empty when nothing does."""
        return "" if self.state in {"ready", "suspended"} else conditions.phase(self.resource)

    @property
    def summary(self) -> Summary | None:
        """At a glance; None when it is gone."""
        return Summary.of(self.resource) if self.resource is not None else None

    async def ready(
        self, seconds: float, say: Callable[[str], None] = lambda _text: None, *, with_events: bool = False
    ) -> None:
        """Wait until it is ready; `say` is told what goes on meanwhile, with the cluster's events if that is wanted."""
        telling = Telling(self.name, say)
        following: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(seconds):
                while not self.is_ready():
                    self._check()
                    telling.phase(conditions.phase(self.resource))
                    if with_events and not following:
                        following = [
                            self._spawn(follow_events(self._api, self.namespace, name, asyncio.Event(), telling.event))
                            for name in self._event_names()
                        ]
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._change(), _LOOK_SECONDS)
        except TimeoutError:
            raise KubernetesError(f"{self.name}: {conditions.reason(self.resource, seconds)}") from None
        finally:
            for task in following:
                task.cancel()

    async def suspend(self, *, suspend: bool) -> None:
        """Have it suspended, or resumed; the volumes are kept."""
        doing = f"{'suspend' if suspend else 'resume'} the Compute {self.name!r}"
        query = {"fieldManager": FIELD_MANAGER}
        body = {"spec": {"suspend": suspend}}
        self._take(await self._api.call("PATCH", self._path, doing, query=query, body=body, content=_MERGE))

    async def delete(self, grace_period_seconds: int) -> None:
        """Delete it with all that belongs to it, and wait until it is gone."""
        doing = f"delete the Compute {self.name!r}"
        body = {"gracePeriodSeconds": grace_period_seconds, "propagationPolicy": "Foreground"}
        try:
            self._take(await self._api.call("DELETE", self._path, doing, body=body))
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            self._lose()
        else:
            await self._end_pod(grace_period_seconds)
        await self._gone(_GONE_SECONDS + grace_period_seconds)
        await self.close()

    async def place(self) -> Place:
        """Where its server is, and how to come in."""
        return await locating.place(self._api, self._reach, self._port)

    def tell_end(self, end: Callable[[str], None]) -> None:
        """Have `end` called, on the control thread, when it is suspended or deleted: no session outlives that."""
        self._ends.append(end)

    def stop(self) -> None:
        """Follow it no longer; callable from any thread."""
        self._loop.call_soon_threadsafe(self._stop)

    async def close(self) -> None:
        """Follow it no longer; in the cluster it stays as it is."""
        tasks = [*self._tasks]
        self._stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reach.close()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._events is not None:
            self._events.stop()
            self._events = None

    @property
    def _port(self) -> int:
        spec = (self.resource or {}).get("spec") or {}
        return int(spec.get("port") or DEFAULT_PORT)

    async def _end_pod(self, grace_period_seconds: int) -> None:
        """The collector of what is left of the Compute would give its pod the time that the pod itself says."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}-0"
        # Who may make Computes need not be one who may delete pods, and there need not be one.
        with contextlib.suppress(ApiError):
            await self._api.call("DELETE", path, "end its pod", body={"gracePeriodSeconds": grace_period_seconds})

    async def _find(self) -> dict[str, Any]:
        doing = f"read the Compute {self.name!r}"
        try:
            return await self._api.call("GET", self._path, doing)
        except ApiError as error:
            if error.status != _NOT_FOUND or "knows no Computes" in str(error):
                raise
            raise KubernetesError(
                f"there is no Compute {self.name!r} in the namespace {self.namespace!r}: give an image to make it"
            ) from None

    async def _apply(self, body: dict[str, Any]) -> None:
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        doing = f"create or change the Compute {self.name!r} in {self.namespace!r}"
        while True:
            found = await self._api.call("PATCH", self._path, doing, query=query, body=body, content=_APPLY)
            if "deletionTimestamp" not in found["metadata"]:
                self._take(found)
                return
            # The one of that name is on its way out, and takes with it what is applied to it.
            await asyncio.sleep(0.2)

    async def _follow_events(self) -> None:
        """Begin to tell of events, if that is wanted; those that there were before are not told."""
        if self._events is None:
            return
        began = []
        for name in self._event_names():
            began.append(asyncio.Event())
            self._spawn(follow_events(self._api, self.namespace, name, began[-1], self._events.tell))
        await asyncio.gather(*(each.wait() for each in began))

    def _event_names(self) -> list[str]:
        """What its events are about: itself and what is named like it, its pod, its volumes."""
        volumes = (f"{volume}-{self.name}-0" for volume in volume_names(self.wanted))
        return [self.name, f"{self.name}-0", *volumes]

    async def _follow(self) -> None:
        await follow(
            self._api,
            computes_path(self.namespace),
            f"watch Computes in {self.namespace!r}",
            {"fieldSelector": f"metadata.name={self.name}"},
            found=self._found,
            changed=self._happened,
            trouble=self._hear,
        )

    def _found(self, resources: list[dict[str, Any]]) -> None:
        if resources:
            self._take(resources[0])
        else:
            self._lose()

    def _happened(self, kind: str, resource: dict[str, Any]) -> None:
        if kind == "DELETED":
            self._lose()
        else:
            self._take(resource)

    def _hear(self, trouble: KubernetesError | None) -> None:
        self._trouble = trouble
        if trouble is None:
            self._heard = time.monotonic()
        self._tell()

    def _take(self, resource: dict[str, Any]) -> None:
        self.resource = resource
        if conditions.wants_suspension(resource):
            self._end("it was suspended")
        self._tell()

    def _lose(self) -> None:
        self.resource = None
        self._end("it was deleted")
        self._tell()

    def _end(self, why: str) -> None:
        while self._ends:
            self._ends.pop()(why)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        await self._changed.wait()

    def _check(self) -> None:
        """Raise where waiting is of no use."""
        if isinstance(self._trouble, ApiError) and time.monotonic() - self._heard > _RESTART_SECONDS:
            raise self._trouble
        if self.resource is None:
            raise KubernetesError(f"the Compute {self.name!r} in {self.namespace!r} was deleted")
        why = conditions.hopeless(self.resource)
        self._hopeless = (self._hopeless or time.monotonic()) if why else None
        if self._hopeless is not None and time.monotonic() - self._hopeless > _HOPELESS_SECONDS:
            raise KubernetesError(f"{self.name} can't get ready: {why}")
        if conditions.wants_suspension(self.resource):
            raise KubernetesError(f"{self.name} is suspended: resume it (compute.resume(), %sky resume {self.name})")

    async def _gone(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while self.resource is not None:
                    await self._change()
        except TimeoutError:
            held = ", ".join(self.resource["metadata"].get("finalizers") or ()) if self.resource else ""
            raise KubernetesError(
                f"{self.name} is to be deleted, and is still there after {seconds:g} s"
                + (f": {held} hold it; is the operator running?" if held else "")
            ) from None

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._api.spawn(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
