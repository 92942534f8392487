"""What one principal may have of a server, all its sessions together."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from skytorch_wire.sizes import size_text

from .refusal import Refusal
from .worker_calls import stats_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from skytorch_server.quota import Quota

    from .session import Session


class Quotas:
    """Says no to a session too many."""

    def __init__(self, default: Quota, of: Callable[[str], Quota]) -> None:
        """`of` says what the token file grants a principal; what it leaves open is `default`'s."""
        self._default = default
        self._of = of
        self._starting: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, principal: str, active: Callable[[], list[Session]]) -> AsyncIterator[None]:
        """A place for one more session while it starts. `active` are the principal's.

        Raises:
            Refusal: RESOURCE_EXHAUSTED, naming the limit and how it is raised.
        """
        quota = self._of(principal).or_else(self._default)
        if quota.memory_bytes is not None:
            used = await _memory_of(active())
            if used >= quota.memory_bytes:
                raise _refusal(
                    principal,
                    f"{size_text(used)} of its {size_text(quota.memory_bytes)} of memory",
                    "--max-memory-per-principal, or memory= in the token file",
                )
        if quota.sessions is not None and len(active()) + self._starting[principal] >= quota.sessions:
            raise _refusal(
                principal,
                f"{quota.sessions} of its {quota.sessions} sessions",
                "--max-sessions-per-principal, or sessions= in the token file",
            )
        self._starting[principal] += 1
        try:
            yield
        finally:
            self._starting[principal] -= 1


async def _memory_of(sessions: list[Session]) -> int:
    stats = await asyncio.gather(*(stats_of(session) for session in sessions))
    return sum(each.storage_bytes for each in stats if each is not None)


def _refusal(principal: str, has: str, how: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"{principal} has {has}: close a session that isn't needed (%sky sessions), or have the limit raised ({how})",
    )
