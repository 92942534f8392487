"""The Computes that a cluster has, connected to from here or not, and what their servers tell of their use."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import grpc.aio

from jupyter_skytorch.compute.channel import AddressError, CredentialError, open_channel
from skytorch_wire import sessions_pb2, sessions_pb2_grpc

from . import locating, process
from .access import check_namespace
from .api import computes_path
from .errors import KubernetesError
from .summary import Summary
from .way import Reach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_skytorch.compute.place import Place

    from .api import Api

__all__ = ["Found", "Use", "find", "inventory"]

_ANSWER_SECONDS = 3.0
_AT_ONCE = 8
"""How many servers are asked at the same time: each may need a port-forward of its own."""


@dataclass(frozen=True)
class Use:
    """What a server tells of how it is used."""

    sessions: int
    orphans: int
    """Those whose kernel no longer renews them."""
    last_activity: datetime
    busy_seconds: float
    """What its sessions have computed, all together."""
    held_bytes: int
    """What their tensors take."""


@dataclass(frozen=True)
class Found:
    """A Compute of the cluster, and what its server told; None where it wasn't asked, or didn't answer."""

    summary: Summary
    use: Use | None = None


async def find(name: str, namespace: str | None) -> dict[str, Any] | None:
    """The resource of that name as the cluster has it; None where there is none.

    Raises KubernetesError; ValueError for what can't be a namespace.
    """
    if namespace:
        check_namespace(namespace)
    async with process.looking() as api:
        # Of a single one, a cluster that knows no Computes at all says the same as one that hasn't got it.
        path, only = computes_path(namespace or api.access.namespace), {"fieldSelector": f"metadata.name={name}"}
        listed = await api.call("GET", path, f"look for the Compute {name!r}", query=only)
        return next(iter(listed.get("items") or ()), None)


async def inventory(
    namespace: str | None,
    *,
    everywhere: bool = False,
    ask: bool = True,
    places: Mapping[tuple[str, str], Place] = MappingProxyType({}),
) -> list[Found]:
    """All Computes of a namespace, or of all, by name; with `ask`, also what the servers of those that are ready tell.

    `places`, by namespace and name, says how servers are reached that this process is connected to. Raises
    KubernetesError, and ValueError for what can't be a namespace; a server that can't be asked is no error.
    """
    if namespace:
        check_namespace(namespace)
    async with process.looking() as api:
        within = "" if everywhere else namespace or api.access.namespace
        doing = "list the Computes of all namespaces" if everywhere else f"list Computes in {within!r}"
        listed = await api.call("GET", computes_path(within), doing)
        found = [Summary.of(resource) for resource in listed.get("items") or ()]
        found.sort(key=lambda each: (each.namespace, each.name))
        if not ask:
            return [Found(each) for each in found]
        turns = asyncio.Semaphore(_AT_ONCE)
        uses = await asyncio.gather(
            *(_use(api, each, places.get((each.namespace, each.name)), turns) for each in found)
        )
        return [Found(each, use) for each, use in zip(found, uses, strict=True)]


async def _use(api: Api, summary: Summary, place: Place | None, turns: asyncio.Semaphore) -> Use | None:
    if summary.state != "ready":
        return None
    async with turns:
        reach = Reach(api, summary.name, summary.namespace, None)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await _ask(place or await locating.place(api, reach, summary.port))
        except (grpc.aio.AioRpcError, AddressError, CredentialError, KubernetesError, TimeoutError, OSError):
            return None
        finally:
            await reach.close()


async def _ask(place: Place) -> Use:
    """Ask a server. Raises what calls raise."""
    channel, metadata = open_channel(
        place.door, place.credential, encryption=place.encryption, insecure=place.insecure, token=place.token
    )
    async with channel:
        stub = sessions_pb2_grpc.SessionsStub(channel)
        activity, listed = await asyncio.gather(
            stub.Activity(sessions_pb2.ActivityRequest(), metadata=metadata, timeout=_ANSWER_SECONDS),
            stub.List(sessions_pb2.ListSessionsRequest(), metadata=metadata, timeout=_ANSWER_SECONDS),
        )
    return Use(
        sessions=activity.sessions,
        orphans=activity.orphans,
        last_activity=activity.last_activity.ToDatetime(UTC),
        busy_seconds=sum(session.stats.busy_nanoseconds for session in listed.sessions) * 1e-9,
        held_bytes=sum(session.stats.storage_bytes for session in listed.sessions),
    )
