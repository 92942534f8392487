"""Of several operators one works: the one that holds a Lease, as Kubernetes' own controllers do it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.leaderelection.electionconfig import Config
from kubernetes_asyncio.leaderelection.leaderelection import LeaderElection
from kubernetes_asyncio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes_asyncio.leaderelection.resourcelock.leaselock import LeaseLock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from kubernetes_asyncio.client import ApiClient

NAME = "skytorch-operator"
#: A leader that wasn't heard of for so many seconds is followed by another one.
LEASE = 15
#: A leader that couldn't renew its lease for so long stops by itself, before.
DEADLINE = 10
RETRY = 2


class Lock(LeaseLock):
    """A Lease that an API server which can't be reached doesn't bring down, and that can be given back."""

    async def get(self, name: str, namespace: str) -> Any:
        try:
            return await super().get(name, namespace)
        except (aiohttp.ClientError, TimeoutError) as failure:
            unreachable = ApiException(status=503, reason=str(failure) or "no answer")
            unreachable.body = json.dumps({"code": 503}).encode()
            return False, unreachable

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        try:
            return await super().create(name, namespace, election_record)
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        try:
            return await super().update(name, namespace, updated_record)
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def give_back(self) -> None:
        """Lets another one lead at once."""
        _, record = await self.get(self.name, self.namespace)
        if isinstance(record, LeaderElectionRecord) and record.holder_identity == self.identity:
            assert self.lease_reference is not None  # noqa: S101 - `get` sets it
            self.lease_reference.spec.holder_identity = ""
            # Without an answer, it runs out by itself.
            with suppress(ApiException, aiohttp.ClientError, TimeoutError):
                await self.api_instance.replace_namespaced_lease(self.name, self.namespace, self.lease_reference)


async def lead(client: ApiClient, namespace: str, identity: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """
    Waits until this process leads, and works until `work` ends, which gives the lease back, or the lease is lost.

    Returns whether the work ended by itself; what it raised is raised.
    """
    ended = asyncio.get_running_loop().create_future()

    async def working() -> None:
        try:
            await work()
        except Exception as failure:  # noqa: BLE001 - raised below
            ended.set_exception(failure)
        else:
            ended.set_result(None)

    async def stopped() -> None:
        """There is nothing to add to the work's being cancelled."""

    lock = Lock(NAME, namespace, identity, client)
    election = LeaderElection(Config(lock, LEASE, DEADLINE, RETRY, working, stopped))
    leading = asyncio.create_task(election.run())
    await asyncio.wait((leading, ended), return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        leading.result()
        return False
    leading.cancel()
    await lock.give_back()
    ended.result()
    return True
