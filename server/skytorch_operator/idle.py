"""A Compute that nobody used for so long is suspended, as its own server tells."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

import grpc

from skytorch_operator import activity
from skytorch_operator.conditions import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from skytorch_operator.activity import Activity
    from skytorch_operator.api import Api, Object
    from skytorch_operator.conditions import Seen

#: A server is asked so often.
PERIOD = 60.0
#: The time of the last activity in a Compute's status is that old at most, while it is in use.
RESOLUTION = dt.timedelta(minutes=5)

logger = logging.getLogger(__name__)


class Idleness:
    """Asks servers, and writes into Computes what is worth it."""

    def __init__(self, api: Api, tell: Callable[[Object, str, str, str], None]) -> None:
        self._api = api
        self._tell = tell
        self._secrets: dict[str, Object] = {}
        # Pods that couldn't be asked: each is told of once.
        self._silent: set[str] = set()

    async def check(self, seen: Seen) -> None:
        """Asks the server of a Compute that is ready, and suspends it when it has been idle for too long."""
        metadata, pod = seen.compute["metadata"], seen.pod
        if pod is None or not (address := pod["status"].get("podIP")):
            return
        answer = await self._ask(seen.compute, pod["metadata"]["uid"], address)
        if answer is None:
            return
        compute = await self._api.get("computes", metadata["namespace"], metadata["name"])
        if compute is None or compute["metadata"]["uid"] != metadata["uid"] or compute["spec"]["suspend"]:
            return
        await self._write(compute, answer)
        idle = dt.datetime.now(dt.UTC) - answer.last
        limit = compute["spec"]["idleTimeoutSeconds"]
        if limit and idle >= dt.timedelta(seconds=limit):
            await self._suspend(compute, f"nobody used it for {idle.total_seconds():.0f} s, its limit is {limit} s")

    def forget(self, uid: str) -> None:
        """Drops what is remembered of a Compute that is gone."""
        self._secrets.pop(uid, None)

    async def _ask(self, compute: Object, pod: str, address: str) -> Activity | None:
        metadata = compute["metadata"]
        uid = metadata["uid"]
        if uid not in self._secrets:
            secret = await self._api.get("secrets", metadata["namespace"], metadata["name"])
            if secret is None:
                return None
            self._secrets[uid] = secret
        try:
            answer = await activity.ask(compute, address, self._secrets[uid])
        except grpc.RpcError as failure:
            # Perhaps it has other credentials by now.
            del self._secrets[uid]
            if pod not in self._silent:
                self._silent.add(pod)
                words = failure.details() if isinstance(failure, grpc.aio.AioRpcError) else str(failure)
                where = f"{metadata['namespace']}/{metadata['name']}"
                logger.warning("%s can't be asked when it was used, and won't be suspended when idle: %s", where, words)
            return None
        self._silent.discard(pod)
        return answer

    async def _write(self, compute: Object, answer: Activity) -> None:
        status = compute.get("status", {})
        before = dt.datetime.fromisoformat(status.get("lastActivityTime") or "1970-01-01T00:00:00Z")
        if status.get("sessions") == answer.sessions and answer.last - before < RESOLUTION:
            return
        metadata = compute["metadata"]
        body = {
            "metadata": {"uid": metadata["uid"]},
            "status": {"sessions": answer.sessions, "lastActivityTime": timestamp(answer.last)},
        }
        written = await self._api.merge("computes", metadata["namespace"], f"{metadata['name']}/status", body)
        metadata["resourceVersion"] = written["metadata"]["resourceVersion"]

    async def _suspend(self, compute: Object, why: str) -> None:
        metadata = compute["metadata"]
        # With its version: somebody may be changing it just now, and will be asked about at the next look.
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": {"suspend": True}}
        await self._api.merge("computes", metadata["namespace"], metadata["name"], body)
        logger.info("%s/%s: suspended, %s", metadata["namespace"], metadata["name"], why)
        self._tell(compute, "Normal", "Idle", why)
