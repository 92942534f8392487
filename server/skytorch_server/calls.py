"""Calls, whatever their kind, served message by message: so that one place can look at them before they are served.

On the wire all kinds of call are the same: messages one way, and messages and a status the other way.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = grpc.RpcMethodHandler[Any, Any]

# Of serialized messages; `read` may also return EOF.
Context = grpc.aio.ServicerContext[Any, Any]


class MessageLimit:
    """The largest message that is accepted."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes

    def complaint(self, message: Any) -> str:
        """What is wrong with a message (or EOF) that was read; empty if nothing is."""
        if message is grpc.aio.EOF or len(message) <= self.max_bytes:
            return ""
        return (
            f"a message of {len(message)} bytes is more than this server's limit of {self.max_bytes} bytes for one "
            "(--max-message-bytes): send the data in several, or have the limit raised where the server is started"
        )


class LimitMessages(grpc.aio.ServerInterceptor):
    """Serves every method within a limit."""

    def __init__(self, limit: MessageLimit) -> None:
        self._limit = limit

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None

        async def call(_requests: object, context: Context) -> None:
            await serve(handler, handler_call_details.method, context, self._limit)

        return grpc.stream_stream_rpc_method_handler(call)


async def serve(handler: Handler, method: str, context: Context, limit: MessageLimit) -> None:
    """Serves a call whose messages `context` reads and writes as bytes, by `handler`, of any kind.

    A handler without deserializer reads and writes its messages by `context` itself.
    """
    if handler.request_deserializer is None:
        await _respond(handler, None, context)
        return
    requests = _requests(handler, method.rpartition("/")[2], context, limit)
    if handler.request_streaming:
        await _respond(handler, requests, context)
        return
    async for request in requests:
        await _respond(handler, request, context)
        return
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call carries no message")


async def _requests(handler: Handler, method: str, context: Context, limit: MessageLimit) -> AsyncIterator[Any]:
    while (message := await context.read()) is not grpc.aio.EOF:
        if complaint := limit.complaint(message):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, complaint)
        try:
            request = handler.request_deserializer(message)  # type: ignore[misc]
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a message of {method}")
        yield request


class _Serializing:
    """A context for services that write messages to it."""

    def __init__(self, context: Context, serialize: Callable[[Any], bytes]) -> None:
        self._context = context
        self._serialize = serialize

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        await self._context.write(self._serialize(message))


async def _respond(handler: Handler, request: Any, context: Context) -> None:
    behavior: Any = handler.stream_stream or handler.stream_unary or handler.unary_stream or handler.unary_unary
    serialize: Any = handler.response_serializer
    if serialize is None:
        await behavior(request, context)
        return
    answer = behavior(request, _Serializing(context, serialize))
    if hasattr(answer, "__aiter__"):
        async with aclosing(answer) as responses:
            async for response in responses:
                if not await _write(serialize(response), context):
                    return
    else:
        response = await answer
        if not handler.response_streaming:
            await _write(serialize(response), context)


async def _write(message: bytes, context: Context) -> bool:
    try:
        await context.write(message)
    except grpc.aio.BaseError:
        # The client is gone: nobody is there to be told.
        return False
    return True
