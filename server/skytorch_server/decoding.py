"""Messages that aren't what a call takes: INVALID_ARGUMENT, where gRPC would report a failure of the server's."""

from __future__ import annotations

import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]


class _Undecoded:
    """Stands for a message that can't be read, until somebody can say so to the client."""


class DecodingInterceptor(grpc.aio.ServerInterceptor):
    """Lets services see only messages that are some."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        kind, make = next(
            (kind, make)
            for kind, make in (
                (handler.unary_unary, grpc.unary_unary_rpc_method_handler),
                (handler.unary_stream, grpc.unary_stream_rpc_method_handler),
                (handler.stream_unary, grpc.stream_unary_rpc_method_handler),
                (handler.stream_stream, grpc.stream_stream_rpc_method_handler),
            )
            if kind is not None
        )
        behavior = _checked(kind, handler_call_details.method, many=handler.request_streaming)
        return make(behavior, _decoder(handler.request_deserializer), handler.response_serializer)


def _decoder(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def decode(message: bytes) -> Any:
        try:
            return deserialize(message)
        except DecodeError:
            return _Undecoded()

    return decode


def _checked(behavior: Any, method: str, *, many: bool) -> Any:
    """The same behavior, for requests of which some may not be decoded."""

    async def check(request: Any, context: Context) -> Any:
        if isinstance(request, _Undecoded):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a message of {method.rpartition('/')[2]}")
        return request

    async def check_each(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async for request in requests:
            yield await check(request, context)

    async def checked(given: Any, context: Context) -> Any:
        return check_each(given, context) if many else await check(given, context)

    async def call(given: Any, context: Context) -> Any:
        return await behavior(await checked(given, context), context)

    async def generate(given: Any, context: Context) -> AsyncIterator[Any]:
        async with aclosing(behavior(await checked(given, context), context)) as responses:
            async for response in responses:
                yield response

    return generate if inspect.isasyncgenfunction(behavior) else call
