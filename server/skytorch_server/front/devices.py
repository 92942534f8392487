"""The devices of this machine, found out once, by a process that goes away again."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import grpc

from skytorch_server.session.entry import find_devices
from skytorch_wire import sessions_pb2

from .child_process import ChildError
from .refusal import Refusal

if TYPE_CHECKING:
    from .forkserver import ForkServer

_log = logging.getLogger(__name__)


class Devices:
    """Finding devices initialises CUDA, which neither the front nor the fork server may."""

    def __init__(self, fork_server: ForkServer) -> None:
        self._fork_server = fork_server
        self._search: asyncio.Task[list[sessions_pb2.Device]] | None = None

    def look(self) -> None:
        """Begins to look for them."""
        self._search = asyncio.create_task(self._find())

    async def get(self) -> list[sessions_pb2.Device]:
        """The CPU and every CUDA device, as torch numbers them.

        Raises:
            Refusal: UNAVAILABLE when torch can't be loaded or a driver fails; the next call tries again.
        """
        if self._search is None or (self._search.done() and self._search.exception() is not None):
            self.look()
        assert self._search is not None  # noqa: S101 - for the type checker
        try:
            return await asyncio.shield(self._search)
        except ChildError as error:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, f"the devices can't be found: {error}") from error

    @property
    def has_cuda(self) -> bool:
        """Whether a CUDA device is known to be here."""
        search = self._search
        if search is None or not search.done() or search.cancelled() or search.exception() is not None:
            return False
        return any(device.type == "cuda" for device in search.result())

    async def stop(self) -> None:
        if self._search is not None:
            self._search.cancel()
            await asyncio.wait([self._search])

    async def _find(self) -> list[sessions_pb2.Device]:
        child = await self._fork_server.start(find_devices)
        try:
            started = await child.started()
        finally:
            await child.end()
        _log.info("devices: %s", ", ".join(f"{d.type}:{d.index} ({d.name})" for d in started.devices))
        return [
            sessions_pb2.Device(type=d.type, index=d.index, name=d.name, memory_bytes=d.memory_bytes)
            for d in started.devices
        ]
