"""The sessions of a server: made, leased, found by their owner, ended, and remembered for a while."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections import Counter, OrderedDict, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from skytorch_server.session.spec import SessionSpec
from skytorch_wire import sessions_pb2

from .child_process import ChildError
from .lifetime import NOT_ANNOUNCED
from .refusal import Refusal
from .session import Session
from .watchers import Watchers
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from skytorch_server.allowance import Allowance, Granted
    from skytorch_server.audit import Audit
    from skytorch_server.copy_targets import CopyTargets

    from .checkpoints import Checkpoints
    from .forkserver import ForkServer
    from .quotas import Quotas

_log = logging.getLogger(__name__)

#: The name of the session that a principal's calls without a session id share.
DEFAULT_NAME = "default"

# Ended sessions stay known, so that a client that comes back learns why.
_REMEMBERED_SECONDS = 3600.0
_REMEMBERED = 256

_CLOSED = sessions_pb2.SESSION_STATE_CLOSED
_EXPIRED = sessions_pb2.SESSION_STATE_EXPIRED
_CRASHED = sessions_pb2.SESSION_STATE_CRASHED
_ENDS = {_CLOSED: "closed", _EXPIRED: "expired", _CRASHED: "crashed"}


class Sessions:
    """All sessions, by id. Methods that take a principal know only that principal's own."""

    def __init__(
        self,
        fork_server: ForkServer,
        folder: Path,
        *,
        boot_id: str,
        chunk_bytes: int,
        functions: bool,
        allowance: Allowance,
        limit: int,
        checkpoints: Checkpoints,
        max_message_bytes: int,
        log_format: str,
        quotas: Quotas,
        audit: Audit,
        copy_targets: CopyTargets,
    ) -> None:
        """`folder` is ours alone (0700); `limit` is the number of sessions at a time.

        `functions`: whether sessions run those that their clients send.
        """
        self.boot_id = boot_id
        self.allowance = allowance
        self.watchers = Watchers()
        self._fork_server = fork_server
        self._folder = folder
        self._chunk_bytes = chunk_bytes
        self._functions = functions
        self._limit = limit
        self._checkpoints = checkpoints
        self._max_message_bytes = max_message_bytes
        self._log_format = log_format
        self._quotas = quotas
        self._copy_targets = copy_targets
        self.audit = audit
        self._active: dict[str, Session] = {}
        self._ended: OrderedDict[str, tuple[float, Session]] = OrderedDict()
        self._starting = 0
        self._defaults: dict[str, Session] = {}
        self._default_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._calls: Counter[str] = Counter()
        self._ends: dict[str, asyncio.Task[None]] = {}
        self._closing = False

    def __len__(self) -> int:
        """How many are active or about to be."""
        return len(self._active) + self._starting

    def active(self, principal: str | None = None) -> list[Session]:
        """The active sessions of `principal`, or of everybody."""
        return [session for session in self._active.values() if principal in {None, session.principal}]

    def ended(self, principal: str) -> list[Session]:
        """The sessions of `principal` that ended and are still remembered."""
        self._forget_old()
        return [session for _, session in self._ended.values() if session.principal == principal]

    def find(self, session_id: str, principal: str) -> Session:
        """The session, active or ended.

        Raises:
            Refusal: NOT_FOUND; somebody else's session is answered alike.
        """
        self._forget_old()
        session = self._active.get(session_id) or self._ended.get(session_id, (0.0, None))[1]
        if session is None or session.principal != principal:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"there is no session {session_id!r} here")
        return session

    def find_active(self, session_id: str, principal: str) -> Session:
        """The session, which must be active.

        Raises:
            Refusal: NOT_FOUND, with the reason for which it ended.
        """
        session = self.find(session_id, principal)
        if not session.active:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"session {session_id} has ended: {session.reason}")
        return session

    def tunnel(self, name: str) -> Path | None:
        """Where the process of an active session takes its stream, or tensors from servers, and that alone."""
        for session in self._active.values():
            spec = session.worker.spec
            if hmac.compare_digest(spec.tunnel.encode(), name.encode()):
                return spec.local_socket
            if hmac.compare_digest(spec.intake.encode(), name.encode()):
                return spec.intake_socket
        return None

    async def create(self, principal: str, name: str, labels: Mapping[str, str], granted: Granted) -> Session:
        """Starts a session's process and waits until it serves.

        Raises:
            Refusal: RESOURCE_EXHAUSTED at the limit, UNAVAILABLE when the process can't start or the server ends.
        """
        if len(self) >= self._limit:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, f"this server is at its limit of {self._limit} sessions")
        async with self._quotas.place(principal, lambda: self.active(principal)):
            self._starting += 1
            start = asyncio.create_task(self._start(principal, name, dict(labels), granted))
            try:
                return await asyncio.shield(start)
            except asyncio.CancelledError:
                # The caller went away, and nobody will ever know the new session's secret.
                start.add_done_callback(self._abandon)
                raise

    async def _start(self, principal: str, name: str, labels: dict[str, str], granted: Granted) -> Session:
        session_id = secrets.token_hex(8)
        spec = SessionSpec(
            session_id=session_id,
            attach_secret=secrets.token_bytes(32),
            tunnel=secrets.token_hex(16),
            intake=secrets.token_hex(16),
            copy_targets=self._copy_targets,
            boot_id=self.boot_id,
            folder=self._folder / session_id,
            chunk_bytes=self._chunk_bytes,
            functions=self._functions,
            memory_bytes=granted.memory_bytes,
            pending_records=self.allowance.pending_records,
            pending_bytes=self.allowance.pending_bytes,
            max_message_bytes=self._max_message_bytes,
            log_level=logging.getLogger().getEffectiveLevel(),
            checkpoints=self._checkpoints.folder(principal),
            log_format=self._log_format,
            audit_log=self.audit.path,
        )
        try:
            if self._closing:
                raise Refusal(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
            worker = await WorkerProcess.start(self._fork_server, spec)
            if self._closing:
                await worker.end()
                raise Refusal(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
        except ChildError as error:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, f"the session can't start: {error}") from error
        finally:
            self._starting -= 1
        session = Session(session_id, name, principal, granted, labels, worker)
        self._active[session_id] = session
        worker.ended.add_done_callback(lambda ended: self._crashed(session, ended.result()))
        self._watch_lifetime(session)
        _log.info("session %s of %s: process %d", session_id, principal, worker.pid, extra={"session": session_id})
        self.audit.write("created", session=session_id, principal=principal, name=name)
        self.watchers.tell(sessions_pb2.SessionEvent.CREATED, session)
        return session

    def _abandon(self, start: asyncio.Task[Session]) -> None:
        if not start.cancelled() and start.exception() is None:
            self._begin_end(start.result(), _CLOSED, "its creator went away")

    async def default_of(self, principal: str) -> Session:
        """The session of the calls of `principal` that name none; made where there is none.

        Raises:
            Refusal: as :meth:`create`.
        """
        async with self._default_locks[principal]:
            session = self._defaults.get(principal)
            if session is None or not session.active:
                session = await self.create(principal, DEFAULT_NAME, {}, self.allowance.grant(0, 0, 0))
                self._defaults[principal] = session
            return session

    def is_default(self, session: Session) -> bool:
        """Whether calls without a session id made it."""
        return self._defaults.get(session.principal) is session

    @contextmanager
    def in_use(self, session: Session) -> Iterator[None]:
        """Keeps the lease of a session that has no kernel behind it while a call uses it."""
        self._calls[session.session_id] += 1
        try:
            yield
        finally:
            if session.active:
                self._calls[session.session_id] -= 1
                session.renew()

    def last_used(self, session: Session) -> float:
        """Seconds since the epoch: when its kernel was last heard of, and now while a call uses it that has none."""
        return time.time() if self._calls[session.session_id] else session.last_heartbeat

    def keep_alive(self, session: Session) -> None:
        """Renews the lease of an active session."""
        session.renew()
        self.watchers.tell(sessions_pb2.SessionEvent.CHANGED, session)
        self._watch_lifetime(session)

    async def close(self, session: Session) -> None:
        """Ends a session for its owner; returns when its process is gone."""
        self._begin_end(session, _CLOSED, "closed by its owner")
        await self._ends_of([session])

    def kill(self, session: Session, reason: str) -> None:
        """Ends a session at once, as if it had crashed."""
        session.worker.kill()
        self._begin_end(session, _CRASHED, reason)

    def announce_stop(self, seconds: float) -> None:
        """Takes no more sessions, and tells those who have one that the server stops in so many seconds."""
        self._closing = True
        for session in self.active():
            session.lifetime.stops = time.monotonic() + seconds
            self._watch_lifetime(session)

    async def close_all(self, reason: str) -> None:
        """Ends every session and takes no more; bounded, because each worker's end is."""
        self._closing = True
        sessions = self.active()
        for session in sessions:
            self._begin_end(session, _CLOSED, reason)
        await self._ends_of(sessions)

    async def _ends_of(self, sessions: list[Session]) -> None:
        ends = [self._ends[session.session_id] for session in sessions if session.session_id in self._ends]
        if ends:
            await asyncio.wait(ends)

    def _crashed(self, session: Session, reason: str) -> None:
        self._begin_end(session, _CRASHED, session.worker.last_words(reason))

    def _begin_end(self, session: Session, state: sessions_pb2.SessionState, reason: str) -> None:
        if self._active.pop(session.session_id, None) is None:
            return
        session.state = state
        session.reason = reason
        if session.lifetime.timer is not None:
            # It would hold the session in memory until it comes, up to an hour later.
            session.lifetime.timer.cancel()
        level = logging.WARNING if state == _CRASHED else logging.INFO
        said = {"session": session.session_id}
        _log.log(level, "session %s of %s ended: %s", session.session_id, session.principal, reason, extra=said)
        self.audit.write(_ENDS[state], **said, principal=session.principal, result=reason)
        self._ended[session.session_id] = (time.time(), session)
        session.ended.set()
        end = asyncio.create_task(session.worker.end())
        self._ends[session.session_id] = end
        end.add_done_callback(lambda _: self._ends.pop(session.session_id))
        self._calls.pop(session.session_id, None)
        self.watchers.tell(sessions_pb2.SessionEvent.ENDED, session)

    def _watch_lifetime(self, session: Session) -> None:
        lifetime = session.lifetime
        if lifetime.timer is not None:
            lifetime.timer.cancel()
        if not session.active:
            return
        if self._calls[session.session_id]:
            session.renew()
        expiry = lifetime.expiry()
        if expiry.seconds <= 0:
            self._begin_end(session, _EXPIRED, lifetime.reason(expiry))
            return
        told, lifetime.announced = lifetime.announced, expiry.cause if expiry.soon else NOT_ANNOUNCED
        if lifetime.announced not in {told, NOT_ANNOUNCED}:
            self.watchers.tell(sessions_pb2.SessionEvent.EXPIRING, session)
        delay = lifetime.next_look(expiry)
        lifetime.timer = asyncio.get_running_loop().call_later(delay, self._watch_lifetime, session)

    def _forget_old(self) -> None:
        while self._ended:
            ended, _ = next(iter(self._ended.values()))
            if len(self._ended) <= _REMEMBERED and ended > time.time() - _REMEMBERED_SECONDS:
                return
            self._ended.popitem(last=False)
