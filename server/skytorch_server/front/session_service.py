"""skytorch.server.Sessions, as clients call it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import grpc

from skytorch_server.limits import version_mismatch
from skytorch_wire import sessions_pb2, sessions_pb2_grpc
from skytorch_wire.objects import MAX_NAME_BYTES, MAX_OBJECTS

from . import takeover
from .activity import Activity
from .auth import caller
from .refusal import Refusal, refusals
from .worker_calls import WORKER_SECONDS, stats_of, worker_stub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from skytorch_server.allowance import Granted

    from .checkpoints import Checkpoints
    from .devices import Devices
    from .session import Session
    from .sessions import Sessions
    from .worker_process import WorkerProcess

_MAX_LABELS = 32
_MAX_TEXT = 256

Context = grpc.aio.ServicerContext[Any, Any]


class SessionService(sessions_pb2_grpc.SessionsServicer):
    """Checks what comes from the wire, and leaves the rest to :class:`.sessions.Sessions`."""

    def __init__(self, sessions: Sessions, devices: Devices, checkpoints: Checkpoints, *, direct: bool) -> None:
        self._sessions = sessions
        self._devices = devices
        self._checkpoints = checkpoints
        self._direct = direct
        self._activity = Activity(sessions)

    async def Create(  # noqa: N802
        self, request: sessions_pb2.CreateSessionRequest, context: Context
    ) -> sessions_pb2.CreateSessionResponse:
        async with refusals(context):
            if mismatch := version_mismatch(request.capabilities.protocol_version):
                raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, mismatch)
            _check_texts(request.name, request.labels)
            session = await self._sessions.create(caller.get(), request.name, request.labels, self._granted(request))
            return await self._created(session)
        raise AssertionError

    async def TakeOver(  # noqa: N802
        self, request: sessions_pb2.TakeOverRequest, context: Context
    ) -> sessions_pb2.CreateSessionResponse:
        async with refusals(context):
            if mismatch := version_mismatch(request.capabilities.protocol_version):
                raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, mismatch)
            _check_texts(request.name, request.labels)
            session = self._sessions.find_active(request.session_id, caller.get())
            await takeover.take_over(session, request.name, request.labels)
            self._sessions.audit.write("taken over", session=session.session_id, name=session.name)
            self._sessions.keep_alive(session)
            return await self._created(session)
        raise AssertionError

    async def Get(self, request: sessions_pb2.GetSessionRequest, context: Context) -> sessions_pb2.Session:  # noqa: N802
        async with refusals(context):
            return await _with_stats(self._sessions.find(request.session_id, caller.get()))
        raise AssertionError

    async def List(  # noqa: N802
        self, request: sessions_pb2.ListSessionsRequest, _context: Context
    ) -> sessions_pb2.ListSessionsResponse:
        sessions = self._sessions.active(caller.get())
        if request.include_ended:
            sessions += self._sessions.ended(caller.get())
        messages = await asyncio.gather(*(_with_stats(session) for session in sessions))
        return sessions_pb2.ListSessionsResponse(sessions=messages, boot_id=self._sessions.boot_id)

    async def KeepAlive(  # noqa: N802
        self, request: sessions_pb2.KeepAliveRequest, context: Context
    ) -> sessions_pb2.KeepAliveResponse:
        async with refusals(context):
            session = self._sessions.find_active(request.session_id, caller.get())
            self._sessions.keep_alive(session)
            return sessions_pb2.KeepAliveResponse(
                lease_seconds=session.granted.lease_seconds, expiry=session.lifetime.expiry()
            )
        raise AssertionError

    async def Cancel(self, request: sessions_pb2.CancelRequest, context: Context) -> sessions_pb2.CancelResponse:  # noqa: N802
        async with refusals(context):
            session = self._sessions.find_active(request.session_id, caller.get())
            if request.from_sequence > request.through_sequence:
                raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "from_sequence is after through_sequence")
            try:
                await worker_stub(session).Cancel(request, timeout=WORKER_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise Refusal(error.code(), error.details() or "") from error
        return sessions_pb2.CancelResponse()

    async def Close(  # noqa: N802
        self, request: sessions_pb2.CloseSessionRequest, context: Context
    ) -> sessions_pb2.CloseSessionResponse:
        async with refusals(context):
            session = self._sessions.find(request.session_id, caller.get())
            if request.keep_named:
                return sessions_pb2.CloseSessionResponse(kept=await takeover.leave(self._sessions, session))
            await self._sessions.close(session)
        return sessions_pb2.CloseSessionResponse()

    async def WriteCheckpoint(  # noqa: N802
        self, request: sessions_pb2.WriteCheckpointRequest, context: Context
    ) -> sessions_pb2.Checkpoint:
        async with refusals(context):
            session = self._sessions.find_active(request.session_id, caller.get())
            _check_objects(request.objects)
            return await self._checkpoints.write(session, request.name, request.objects)
        raise AssertionError

    async def Restore(  # noqa: N802
        self, request: sessions_pb2.RestoreRequest, context: Context
    ) -> sessions_pb2.RestoreResponse:
        async with refusals(context):
            session = self._sessions.find_active(request.session_id, caller.get())
            _check_objects(request.objects)
            return await self._checkpoints.restore(session, request.name, request.objects)
        raise AssertionError

    async def ListCheckpoints(  # noqa: N802
        self, _request: sessions_pb2.ListCheckpointsRequest, context: Context
    ) -> sessions_pb2.ListCheckpointsResponse:
        async with refusals(context):
            return sessions_pb2.ListCheckpointsResponse(checkpoints=await self._checkpoints.list(caller.get()))
        raise AssertionError

    async def DeleteCheckpoint(  # noqa: N802
        self, request: sessions_pb2.DeleteCheckpointRequest, context: Context
    ) -> sessions_pb2.DeleteCheckpointResponse:
        async with refusals(context):
            await self._checkpoints.delete(caller.get(), request.name)
        return sessions_pb2.DeleteCheckpointResponse()

    async def Watch(  # noqa: N802
        self, _request: sessions_pb2.WatchSessionsRequest, context: Context
    ) -> AsyncIterator[sessions_pb2.SessionEvent]:
        async with refusals(context):
            with self._sessions.watchers.watching(caller.get()) as watch:
                for session in self._sessions.active(caller.get()):
                    yield sessions_pb2.SessionEvent(kind=sessions_pb2.SessionEvent.CREATED, session=session.message())
                async for event in watch:
                    yield event

    async def Activity(  # noqa: N802
        self, _request: sessions_pb2.ActivityRequest, _context: Context
    ) -> sessions_pb2.ActivityResponse:
        return self._activity.message()

    def _granted(self, request: sessions_pb2.CreateSessionRequest) -> Granted:
        for name in ("lease_seconds", "max_age_seconds"):
            seconds = getattr(request, name)
            if not (math.isfinite(seconds) and seconds >= 0):
                raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"{name} is a number of seconds, 0 for the default")
        return self._sessions.allowance.grant(request.lease_seconds, request.max_age_seconds, request.memory_bytes)

    async def _created(self, session: Session) -> sessions_pb2.CreateSessionResponse:
        worker = session.worker
        return sessions_pb2.CreateSessionResponse(
            session=session.message(),
            attach_secret=session.attach_secret,
            boot_id=self._sessions.boot_id,
            capabilities=worker.spec.capabilities(),
            devices=await self._devices.get(),
            endpoints=self._endpoints(worker),
            checkpoints=await self._checkpoints.count(session.principal),
        )

    def _endpoints(self, worker: WorkerProcess) -> list[sessions_pb2.Endpoint]:
        direct = sessions_pb2.Endpoint(
            address=worker.address,
            nonce_path=str(worker.spec.nonce),
            nonce=worker.nonce,
            local_socket=str(worker.spec.local_socket),
            intake=str(worker.spec.intake_socket),
        )
        relayed = sessions_pb2.Endpoint(address="", tunnel=worker.spec.tunnel, intake=worker.spec.intake)
        return [direct, relayed] if self._direct else [relayed]


async def _with_stats(session: Session) -> sessions_pb2.Session:
    return session.message(await stats_of(session) if session.active else None)


def _check_texts(name: str, labels: Mapping[str, str]) -> None:
    texts = [name, *labels.keys(), *labels.values()]
    if len(labels) > _MAX_LABELS or any(len(text) > _MAX_TEXT for text in texts):
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"a session has at most {_MAX_LABELS} labels, and names and labels at most {_MAX_TEXT} characters",
        )


def _check_objects(names: Sequence[str]) -> None:
    if len(names) > MAX_OBJECTS or any(len(name.encode()) > MAX_NAME_BYTES for name in names):
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"a session has at most {MAX_OBJECTS} objects, whose names have at most {MAX_NAME_BYTES} bytes",
        )
