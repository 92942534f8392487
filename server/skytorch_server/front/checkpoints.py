"""Checkpoints as the front keeps them: whose they are, how many, how large; sessions' processes read and write them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import grpc

from skytorch_server.checkpoints.folder import CheckpointFolder, check_name, open_root
from skytorch_server.checkpoints.manifest import CheckpointError
from skytorch_wire import sessions_pb2

from .refusal import Refusal
from .worker_calls import worker_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .session import Session

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Of one checkpoint; a client that gives up earlier ends its call, not the writing.
_WRITTEN_SECONDS = 600.0
#: What those are called that a stopping server writes, before the session's own name.
STOPPED = "stopped-"


@dataclass(frozen=True)
class CheckpointLimits:
    """What one principal may keep."""

    number: int = 16
    bytes: int = 64 << 30


class Checkpoints:
    """All principals' checkpoints. Methods raise Refusal."""

    def __init__(self, root: Path | None, limits: CheckpointLimits) -> None:
        """`root` is the folder of the server's flag; None: there are none.

        Raises:
            OSError: it can't be had.
        """
        self._root = open_root(root) if root is not None else None
        self._limits = limits
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def folder(self, principal: str) -> Path | None:
        """Where a session of the principal's finds its checkpoints."""
        return CheckpointFolder.of(self._root, principal).path if self._root is not None else None

    async def count(self, principal: str) -> int:
        """How many there are; 0 on a server that keeps none."""
        return len(await self.list(principal)) if self._root is not None else 0

    async def list(self, principal: str) -> list[sessions_pb2.Checkpoint]:
        """Those of a principal, oldest first."""
        folder = self._folder(principal)
        return [manifest.message() for manifest in await _in_thread(folder.manifests)]

    async def delete(self, principal: str, name: str) -> None:
        """Deletes one of a principal's."""
        folder = self._folder(principal)
        async with self._locks[principal]:
            await _in_thread(lambda: folder.remove(name))

    async def write(self, session: Session, name: str, objects: Sequence[str]) -> sessions_pb2.Checkpoint:
        """Has a session's process write one, in the place of an older one of the name."""
        folder = self._folder(session.principal)
        async with self._locks[session.principal]:
            limit = await _in_thread(lambda: self._left(folder, name))
            request = sessions_pb2.WriteCheckpointRequest(
                name=name, objects=objects, max_bytes=max(limit, 1), session_name=session.name
            )
            try:
                written: sessions_pb2.Checkpoint = await worker_stub(session).WriteCheckpoint(
                    request, timeout=_WRITTEN_SECONDS
                )
            except grpc.aio.AioRpcError as error:
                raise Refusal(error.code(), error.details() or "") from error
        _log.info("session %s: checkpoint %s of %d bytes", session.session_id, name, written.bytes)
        return written

    async def restore(self, session: Session, name: str, objects: Sequence[str]) -> sessions_pb2.RestoreResponse:
        """Has a session's process read one."""
        self._folder(session.principal)
        request = sessions_pb2.RestoreRequest(name=name, objects=objects)
        try:
            restored: sessions_pb2.RestoreResponse = await worker_stub(session).Restore(
                request, timeout=_WRITTEN_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise Refusal(error.code(), error.details() or "") from error
        return restored

    @property
    def kept(self) -> bool:
        """Whether there are any."""
        return self._root is not None

    async def write_all(self, sessions: Sequence[Session], seconds: float) -> None:
        """Writes the named objects of every session, as far as so many seconds allow, because the server stops."""
        if self._root is None or not sessions:
            return
        called: Counter[tuple[str, str]] = Counter((session.principal, _called(session)) for session in sessions)
        writing = [
            asyncio.create_task(self._write_last(session, alone=called[session.principal, _called(session)] == 1))
            for session in sessions
        ]
        _, late = await asyncio.wait(writing, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            _log.error("%d sessions took over %.3g s to be written", len(late), seconds)

    async def _write_last(self, session: Session, *, alone: bool) -> None:
        name = _called(session) if alone else f"{_called(session)[:50]}-{session.session_id[:8]}"
        try:
            await self.write(session, name, [])
        except Refusal as refusal:
            # A session without named objects has nothing to lose.
            if refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
                _log.error("session %s: no checkpoint %s: %s", session.session_id, name, refusal)

    def _left(self, folder: CheckpointFolder, name: str) -> int:
        """Bytes that a checkpoint of a name may have. Raises CheckpointError."""
        check_name(name)
        there = folder.manifests()
        before = next((manifest.size for manifest in there if manifest.name == name), None)
        if before is None and len(there) >= self._limits.number:
            raise CheckpointError(
                f"you have {len(there)} checkpoints, which is the limit: delete one (the server's --max-checkpoints)",
                "RESOURCE_EXHAUSTED",
            )
        return self._limits.bytes - folder.used() + (before or 0)

    def _folder(self, principal: str) -> CheckpointFolder:
        if self._root is None:
            raise Refusal(
                grpc.StatusCode.UNIMPLEMENTED,
                "this server keeps no checkpoints: it was started without --checkpoint-dir",
            )
        return CheckpointFolder.of(self._root, principal)


def _called(session: Session) -> str:
    try:
        return check_name(f"{STOPPED}{session.name or session.session_id}")
    except CheckpointError:
        return f"{STOPPED}{session.session_id}"


async def _in_thread(work: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(work)
    except CheckpointError as error:
        raise Refusal(grpc.StatusCode[error.code], str(error)) from error
