"""Several Computes handled together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, overload

from jupyter_skytorch.device.errors import SkyError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import TracebackType

    from .compute import Compute

__all__ = ["Cluster"]

_READY_SECONDS = 300.0


class Cluster:
    """Several Computes: what is done to it is done to all of them at the same time.

    It can be iterated over, indexed and unpacked. With ``async with``, the block begins when all are ready, and at its
    end they are deleted.
    """

    def __init__(self, *computes: Compute) -> None:
        self._computes = computes

    async def ready(self, timeout: float = _READY_SECONDS) -> None:  # noqa: ASYNC109  (the bound is in what is raised)
        """Wait until all are ready, at most so many seconds.

        Raises ExceptionGroup of a ConnectError for each that can't be.
        """
        await self._all("not all are ready", *(compute.ready(timeout) for compute in self._computes))

    def is_ready(self) -> bool:
        """Whether all can be connected to, as far as is known now."""
        return all(compute.is_ready() for compute in self._computes)

    async def delete(self, grace_period_seconds: int = 30) -> None:
        """Delete all, and wait until they are gone. Raises ExceptionGroup of a ConnectError for each that isn't."""
        await self._all("not all were deleted", *(compute.delete(grace_period_seconds) for compute in self._computes))

    @staticmethod
    async def _all(what: str, *calls: Coroutine[None, None, None]) -> None:
        results = await asyncio.gather(*calls, return_exceptions=True)
        failures = [result for result in results if isinstance(result, SkyError)]
        others = [result for result in results if isinstance(result, BaseException) and result not in failures]
        if others:
            raise others[0]
        if failures:
            raise ExceptionGroup(what, failures)

    def __iter__(self) -> Iterator[Compute]:
        return iter(self._computes)

    def __len__(self) -> int:
        return len(self._computes)

    @overload
    def __getitem__(self, index: int) -> Compute: ...

    @overload
    def __getitem__(self, index: slice) -> Cluster: ...

    def __getitem__(self, index: int | slice) -> Compute | Cluster:
        return Cluster(*self._computes[index]) if isinstance(index, slice) else self._computes[index]

    async def __aenter__(self) -> Self:
        await self.ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.delete()

    def __repr__(self) -> str:
        return f"Cluster({', '.join(compute.name for compute in self._computes)})"
