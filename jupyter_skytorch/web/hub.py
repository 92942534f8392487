"""Between the browsers that look and the servers that are looked at."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from jupyter_skytorch.compute import records
from jupyter_skytorch.web.inventory import describe
from jupyter_skytorch.web.keeping import KeepAliveError, keep_alive
from jupyter_skytorch.web.mailbox import Mailbox
from jupyter_skytorch.web.orphans import Orphans
from jupyter_skytorch.web.targets import Target
from jupyter_skytorch.web.watch import Watch

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncIterator, Mapping

    from jupyter_skytorch.compute.records import SessionRecord
    from jupyter_skytorch.web.history import Series
    from jupyter_skytorch.web.kernels import Kernels

# How often records and kernels are looked through, which come and go without telling.
_SURVEY_SECONDS = 1.0


class Hub:
    """One `Watch` for each server, however many browsers look; nothing is open while none does."""

    def __init__(
        self,
        *,
        kernels: Kernels,
        configured: Mapping[Target, str],
        allowed_providers: frozenset[str],
        interval: float,
        history: float,
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self.interval = interval
        self.history = history
        self._kernels = kernels
        self._configured = configured
        self._allowed_providers = allowed_providers
        self._log = log
        self._orphans = Orphans()
        self._watches: dict[Target, Watch] = {}
        self._mailboxes: set[Mailbox] = set()
        self._computes: list[dict[str, Any]] = []
        self._complaint = ""
        self._changed = asyncio.Event()
        self._switching = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def computes(self) -> list[dict[str, Any]]:
        """The Computes and their sessions as they are now; asks the servers if nobody looks anyway."""
        found = await self._reconcile()
        if self._task is None:
            await asyncio.gather(*(watch.ask() for watch in self._watches.values()))
        return await self._describe(found)

    async def keep_alive(self, compute_id: str, session_id: str) -> dict[str, Any]:
        """Renews the lease of a session of a Compute; when it ends from then on. Raises KeepAliveError."""
        await self._reconcile()
        target = next((target for target in self._watches if target.id == compute_id), None)
        if target is None:
            raise KeepAliveError(404, "There is no such Compute any more")
        return await keep_alive(target, session_id)

    @asynccontextmanager
    async def look(self) -> AsyncIterator[Mailbox]:
        """A mailbox that gets the state, the metrics so far, and then each change and each snapshot."""
        mailbox = Mailbox()
        async with self._switching:
            self._mailboxes.add(mailbox)
            if self._task is None:
                self._task = asyncio.create_task(self._run())
            else:
                mailbox.put_state(_state_message(self._computes))
            for watch in self._watches.values():
                if series := watch.history.series():
                    mailbox.put_metrics(_metrics_message(watch, series))
        try:
            yield mailbox
        finally:
            async with self._switching:
                self._mailboxes.discard(mailbox)
                if not self._mailboxes:
                    await self._stop()

    async def close(self) -> None:
        """Sends the browsers away and ends every stream."""
        for mailbox in self._mailboxes:
            mailbox.close()
        async with self._switching:
            await self._stop()

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await asyncio.gather(*(watch.stop() for watch in self._watches.values()))

    async def _run(self) -> None:
        published = None
        while True:
            self._changed.clear()
            try:
                found = await self._reconcile()
                for watch in self._watches.values():
                    watch.start()
                self._computes = await self._describe(found)
            except Exception as error:  # noqa: BLE001
                # Whatever a kernel manager or a file system fails with must not end the panel of every browser.
                self._complain(error)
            if self._computes != published:
                published = self._computes
                for mailbox in self._mailboxes:
                    mailbox.put_state(_state_message(published))
            try:
                async with asyncio.timeout(_SURVEY_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _complain(self, error: Exception) -> None:
        """Logs a failure once, not once a second."""
        if repr(error) != self._complaint:
            self._complaint = repr(error)
            self._log.warning("skytorch: could not look through the sessions: %r", error)

    async def _reconcile(self) -> list[SessionRecord]:
        """Makes the watches those of the configured servers and of the records; returns the records to show."""
        found = records.read_all()
        wanted = set(self._configured)
        wanted |= {Target.of(record) for record in found if record.provider in self._allowed_providers}
        gone = [self._watches.pop(target) for target in set(self._watches) - wanted]
        for target in wanted - set(self._watches):
            self._watches[target] = Watch(
                target,
                interval=self.interval,
                history=self.history,
                on_change=self._changed.set,
                on_sample=self._publish,
            )
        await asyncio.gather(*(watch.stop() for watch in gone))
        return self._orphans.sweep(found, self._watches)

    async def _describe(self, found: list[SessionRecord]) -> list[dict[str, Any]]:
        return describe(self._watches, self._configured, found, await self._kernels.running())

    def _publish(self, watch: Watch, series: list[Series]) -> None:
        for mailbox in self._mailboxes:
            mailbox.put_metrics(_metrics_message(watch, series))


def _state_message(computes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "state", "computes": computes}


def _metrics_message(watch: Watch, series: list[Series]) -> dict[str, Any]:
    return {"type": "metrics", "compute": watch.target.id, "series": series}
