"""skytorch.torch.Service on the front's own port: every call is passed on, unread, to the session's process.

On the wire all kinds of call are the same, so one handler relays them all. Only the first message of a call is looked
at, to learn whose session it is for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from skytorch_wire import service_pb2

from .auth import caller
from .refusal import Refusal, refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from skytorch_server.calls import MessageLimit

    from .session import Session
    from .sessions import Sessions

SERVICE = "skytorch.torch.Service"

# Of serialized messages; `read` may also return EOF.
Context = grpc.aio.ServicerContext[Any, bytes]
_Request = (
    service_pb2.StreamRequest
    | service_pb2.UpdateTensorRequest
    | service_pb2.GetTensorRequest
    | service_pb2.CopyTensorRequest
    | service_pb2.DeleteTensorsRequest
    | service_pb2.ExecuteAtenOperationRequest
)
_REQUESTS: dict[str, Callable[[bytes], _Request]] = {
    "StreamOperations": service_pb2.StreamRequest.FromString,
    "UpdateTensor": service_pb2.UpdateTensorRequest.FromString,
    "GetTensor": service_pb2.GetTensorRequest.FromString,
    "CopyTensor": service_pb2.CopyTensorRequest.FromString,
    "DeleteTensors": service_pb2.DeleteTensorsRequest.FromString,
    "ExecuteAtenOperation": service_pb2.ExecuteAtenOperationRequest.FromString,
}

# How long a call whose worker is gone waits for the front to learn why.
_REASON_SECONDS = 1.0
# How long a client may take for the answer that is on its way to it when its call is ended.
_WRITE_SECONDS = 1.0


def relay_handler(sessions: Sessions, limit: MessageLimit) -> grpc.GenericRpcHandler:
    """The handler of all methods of the service."""
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {method: grpc.stream_stream_rpc_method_handler(_Relay(sessions, method, limit).call) for method in _REQUESTS},
    )


class _Relay:
    """One method."""

    def __init__(self, sessions: Sessions, method: str, limit: MessageLimit) -> None:
        self._sessions = sessions
        self._limit = limit
        self._method = method

    async def call(self, _requests: object, context: Context) -> None:
        async with refusals(context):
            first = await context.read()
            self._check(first)
            if first is grpc.aio.EOF:
                raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "the call carries no message")
            session, first = await self._session_of(first)
            if self._sessions.is_default(session):
                with self._sessions.in_use(session):
                    await self._pass_on(session, first, context)
            else:
                await self._pass_on(session, first, context)

    async def _session_of(self, first: bytes) -> tuple[Session, bytes]:
        try:
            request = _REQUESTS[self._method](first)
        except DecodeError as error:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"not a message of {self._method}") from error
        if not isinstance(request, service_pb2.StreamRequest):
            if request.session_id:
                return self._sessions.find_active(request.session_id, caller.get()), first
            return await self._sessions.default_of(caller.get()), first
        if not request.HasField("attach"):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "the first message of a stream carries `attach`")
        if request.attach.session_id:
            return self._sessions.find_active(request.attach.session_id, caller.get()), first
        session = await self._sessions.default_of(caller.get())
        # The token has shown that the session is the caller's, who can't know the secret of one it didn't create.
        request.attach.session_id = session.session_id
        request.attach.attach_secret = session.attach_secret
        return session, request.SerializeToString()

    async def _pass_on(self, session: Session, first: bytes, context: Context) -> None:
        onward: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = session.worker.channel.stream_stream(
            f"/{SERVICE}/{self._method}"
        )
        call = onward(timeout=context.time_remaining())
        upward = asyncio.create_task(self._send(first, context, call))
        downward = asyncio.create_task(_receive(session, context, call))
        try:
            await asyncio.wait([upward, downward], return_when=asyncio.FIRST_COMPLETED)
            if upward.done():
                await upward
            await downward
        finally:
            upward.cancel()
            call.cancel()
            # What is being written is written first: a status sent into the middle of the first answer never arrives.
            await asyncio.wait([downward], timeout=_WRITE_SECONDS)
            downward.cancel()

    async def _send(self, first: bytes, context: Context, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        try:
            message: Any = first
            while message is not grpc.aio.EOF:
                await call.write(message)
                message = await context.read()
                self._check(message)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The worker has ended the call; whoever reads its answers learns why.
            return

    def _check(self, message: Any) -> None:
        if complaint := self._limit.complaint(message):
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, complaint)


async def _receive(session: Session, context: Context, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            await context.write(message)  # type: ignore[arg-type]
        await _raise_status(call, session)
    except grpc.aio.AioRpcError:
        await _raise_status(call, session)
    except grpc.aio.BaseError:
        # The client is gone: nobody is there to be told.
        return


async def _raise_status(call: grpc.aio.Call, session: Session) -> None:
    code, details = await call.code(), await call.details()
    if code is grpc.StatusCode.UNAVAILABLE and (reason := await _reason(session)):
        details = f"session {session.session_id} has ended: {reason}"
    if code is not grpc.StatusCode.OK:
        raise Refusal(code, details)


async def _reason(session: Session) -> str:
    try:
        await asyncio.wait_for(session.ended.wait(), _REASON_SECONDS)
    except TimeoutError:
        return ""
    return session.reason
