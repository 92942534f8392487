"""Who looks after Computes: for each one a task, that looks when something happened, and sometimes anyway."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
from kubernetes_asyncio.client import ApiException

from skytorch_operator.idle import PERIOD

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from skytorch_operator.idle import Idleness
    from skytorch_operator.reconcile import Outcome, Reconciler

#: Looks that are under way at a time, and questions to servers.
CONCURRENCY = 16
#: Events come in bursts: so long after a look the next one waits for the rest of them. It waits longer and longer while
#: they don't end, as when somebody else changes what is changed here, until nothing happened for a while.
GAP, GROWTH, LONGEST_GAP = 0.1, 1.3, 5.0
WHILE = 10.0
#: A look that failed, or found something missing, is repeated after so many seconds at first, twice as many then.
SOON = 1.0
LATER = 120.0
#: With nothing going on there is a look anyway, because an event may have been missed.
RESYNC = 600.0

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Keepers:
    """The tasks, one for each Compute."""

    def __init__(self, reconciler: Reconciler, idleness: Idleness) -> None:
        self._reconciler = reconciler
        self._idleness = idleness
        self._looks = asyncio.Semaphore(CONCURRENCY)
        self._questions = asyncio.Semaphore(CONCURRENCY)
        self._asking: set[asyncio.Task[Any]] = set()
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
        tasks = [*self._asking, *(task for task, _ in self._keepers.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, namespace: str, name: str, woken: asyncio.Event) -> None:
        where = f"{namespace}/{name}"
        clock = asyncio.get_running_loop().time
        uid = ""
        delay, gap, ask_at = SOON, GAP, 0.0
        while True:
            woken.clear()
            ok, outcome = await _guarded(where, self._look(namespace, name))
            if ok and outcome is None and not woken.is_set():
                self._reconciler.forget(uid)
                self._idleness.forget(uid)
                del self._keepers[namespace, name]
                return
            if outcome is not None and outcome.settled:
                again, delay = clock() + RESYNC, SOON
            else:
                again, delay = clock() + delay, min(2 * delay, LATER)
            if outcome is not None:
                uid = outcome.seen.compute["metadata"]["uid"]
            await asyncio.sleep(gap)
            gap = min(GROWTH * gap, LONGEST_GAP)
            waits_since = clock()
            while not woken.is_set() and (left := again - clock()) > 0:
                if outcome is not None and outcome.seen.serves:
                    if clock() >= ask_at:
                        ask_at = clock() + PERIOD
                        # Beside all else: a server that doesn't answer isn't waited for.
                        self._start_asking(where, outcome)
                    left = min(left, ask_at - clock())
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), left)
            if clock() - waits_since > WHILE:
                gap = GAP

    async def _look(self, namespace: str, name: str) -> Outcome | None:
        async with self._looks:
            return await self._reconciler.look(namespace, name)

    def _start_asking(self, where: str, outcome: Outcome) -> None:
        asking = asyncio.create_task(_guarded(where, self._ask(outcome)), name=f"question to {where}")
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _ask(self, outcome: Outcome) -> None:
        async with self._questions:
            await self._idleness.check(outcome.seen)


async def _guarded(where: str, work: Awaitable[Result]) -> tuple[bool, Result | None]:
    """Whether it went well, and what came of it."""
    try:
        return True, await work
    except ApiException as failure:
        # It is gone, or changed in the meantime: the next look is at what it is then.
        level = logging.DEBUG if failure.status in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT} else logging.WARNING
        logger.log(level, "%s: %s; tried again soon", where, failure.reason)
    except (aiohttp.ClientError, TimeoutError) as failure:
        logger.warning("%s: %s; tried again soon", where, str(failure) or type(failure).__name__)
    except Exception:
        logger.exception("%s: something went wrong; tried again soon", where)
    return False, None
