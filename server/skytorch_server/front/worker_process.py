"""A session's process, its folder, and the front's channel to it."""

from __future__ import annotations

import logging
import secrets
import shutil
from typing import TYPE_CHECKING

import grpc

from skytorch_server.limits import channel_options
from skytorch_server.session.entry import run_session

from .resident import anonymous_bytes

if TYPE_CHECKING:
    import asyncio

    from skytorch_server.session.spec import SessionSpec

    from .child_process import ChildProcess
    from .forkserver import ForkServer

_log = logging.getLogger(__name__)

_CALLS_SECONDS = 1.0
_OP_CHARACTERS = 200


class WorkerProcess:
    """One session's process, which serves on a Unix socket of its own."""

    def __init__(self, spec: SessionSpec, nonce: bytes, child: ChildProcess) -> None:
        self.spec = spec
        self.nonce = nonce
        self.channel = grpc.aio.insecure_channel(self.address, options=channel_options(spec.max_message_bytes))
        self._child = child
        #: What the process has of memory to itself before it does anything.
        self.idle_bytes = anonymous_bytes(child.pid)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def ended(self) -> asyncio.Future[str]:
        """Done, with the reason, when the process has ended."""
        return self._child.ended

    @property
    def address(self) -> str:
        """The gRPC target of the process's own server."""
        return f"unix:{self.spec.socket}"

    @classmethod
    async def start(cls, fork_server: ForkServer, spec: SessionSpec) -> WorkerProcess:
        """Starts the process of `spec` and waits until it serves.

        Raises:
            ChildError: it didn't come up.
        """
        spec.folder.mkdir(mode=0o700)
        try:
            nonce = secrets.token_bytes(16)
            spec.nonce.write_bytes(nonce)
            child = await fork_server.start(run_session, spec)
            try:
                await child.started()
            except BaseException:
                await child.end()
                raise
        except BaseException:
            shutil.rmtree(spec.folder, ignore_errors=True)
            raise
        return cls(spec, nonce, child)

    def last_words(self, reason: str) -> str:
        """Why the process ended, with the op that ran when it crashed if it could still say so."""
        try:
            op = self.spec.last_op.read_text(encoding="utf-8", errors="replace")[:_OP_CHARACTERS]
        except OSError:
            op = ""
        return f"{reason}; the last op was {op}" if op.isprintable() and op else reason

    def kill(self) -> None:
        """Ends the process at once; :meth:`end` is to follow."""
        self._child.kill()

    async def end(self) -> None:
        """Ends the process, forcibly where need be, and removes its folder. Takes five seconds at most."""
        if not await self._child.end():
            _log.warning("session %s did not end when asked: killed", self.spec.session_id)
        # Calls that go through it learn from the dead socket how they end; closing at once would cancel them instead.
        await self.channel.close(_CALLS_SECONDS)
        shutil.rmtree(self.spec.folder, ignore_errors=True)
