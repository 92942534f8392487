"""Who looks after Computes: for each one a task, that looks when something happened, and sometimes anyway."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
from kubernetes_asyncio.client import ApiException

if TYPE_CHECKING:
    from skytorch_operator.reconcile import Outcome, Reconciler

#: Looks that are under way at a time.
CONCURRENCY = 16
#: Events come in bursts: so long after a look the next one waits for the rest of them.
GAP = 0.1
#: A look that failed, or found something missing, is repeated after so many seconds at first, twice as many then.
SOON = 1.0
LATER = 60.0
#: With nothing going on there is a look anyway, because an event may have been missed.
RESYNC = 600.0

logger = logging.getLogger(__name__)


class Keepers:
    """The tasks, one for each Compute."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._free = asyncio.Semaphore(CONCURRENCY)
        self._keepers: dict[tuple[str, str], tuple[asyncio.Task[None], asyncio.Event]] = {}

    def wake(self, namespace: str, name: str) -> None:
        """Something happened to a Compute, or to what is its own."""
        key = namespace, name
        if key not in self._keepers:
            woken = asyncio.Event()
            task = asyncio.create_task(self._keep(namespace, name, woken), name=f"keeper of {namespace}/{name}")
            self._keepers[key] = task, woken
        self._keepers[key][1].set()

    async def close(self) -> None:
        """Ends them all."""
        tasks = [task for task, _ in self._keepers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, namespace: str, name: str, woken: asyncio.Event) -> None:
        uid = ""
        delay = SOON
        while True:
            woken.clear()
            outcome = await self._look(namespace, name)
            if outcome == "gone":
                if woken.is_set():
                    continue
                self._reconciler.forget(uid)
                del self._keepers[namespace, name]
                return
            if isinstance(outcome, str) or not outcome.settled:
                pause, delay = delay, min(2 * delay, LATER)
            else:
                pause, delay = RESYNC, SOON
            if not isinstance(outcome, str):
                uid = outcome.seen.compute["metadata"]["uid"]
            await asyncio.sleep(GAP)
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), pause)

    async def _look(self, namespace: str, name: str) -> Outcome | str:
        try:
            async with self._free:
                return await self._reconciler.look(namespace, name) or "gone"
        except (ApiException, aiohttp.ClientError, TimeoutError) as failure:
            words = failure.reason if isinstance(failure, ApiException) else str(failure) or type(failure).__name__
            logger.warning("%s/%s: %s; tried again soon", namespace, name, words)
        except Exception:
            logger.exception("%s/%s: a look failed; tried again soon", namespace, name)
        return "failed"
