"""The unary calls of skytorch.torch.Service: each becomes records, which join the session's queue when they arrive."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc

from skytorch_server.limits import PENDING_BYTES
from skytorch_wire import service_pb2
from skytorch_wire.format import ErrorKind
from skytorch_wire.records import View
from skytorch_wire.replies import DataReply, ErrorReply, ValuesReply, read_replies

from .replies import MalformedError
from .unary_records import (
    RequestError,
    call_records,
    copy_records,
    ensure_records,
    free_records,
    read_records,
    view_message,
    view_of,
    write_records,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from skytorch_wire.replies import AnyReply

    from .executor import Executor
    from .replies import Replies, Route
    from .spec import SessionSpec

    Context = grpc.aio.ServicerContext[Any, Any]

_CODES = {
    ErrorKind.RUNTIME: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorKind.INDEX: grpc.StatusCode.OUT_OF_RANGE,
    ErrorKind.VALUE: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorKind.TYPE: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorKind.NOT_IMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    ErrorKind.OUT_OF_MEMORY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorKind.LINALG: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorKind.CANCELLED: grpc.StatusCode.ABORTED,
}


class _OpError(Exception):
    """An op failed on the server."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(f"{reply.operation}: {reply.message}" if reply.operation else reply.message)
        self.code = _CODES[reply.kind]


class Unary:
    """The handlers. Bad input ends the call that brought it, and nothing else."""

    def __init__(self, spec: SessionSpec, executor: Executor, replies: Replies) -> None:
        self._spec = spec
        self._executor = executor
        self._replies = replies

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """The methods by name."""
        return {
            "UpdateTensor": grpc.stream_unary_rpc_method_handler(
                self.update_tensor,
                service_pb2.UpdateTensorRequest.FromString,
                service_pb2.UpdateTensorResponse.SerializeToString,
            ),
            "GetTensor": grpc.unary_stream_rpc_method_handler(
                self.get_tensor,
                service_pb2.GetTensorRequest.FromString,
                service_pb2.GetTensorResponse.SerializeToString,
            ),
            "CopyTensor": grpc.unary_unary_rpc_method_handler(
                self.copy_tensor,
                service_pb2.CopyTensorRequest.FromString,
                service_pb2.CopyTensorResponse.SerializeToString,
            ),
            "DeleteTensors": grpc.unary_unary_rpc_method_handler(
                self.delete_tensors,
                service_pb2.DeleteTensorsRequest.FromString,
                service_pb2.DeleteTensorsResponse.SerializeToString,
            ),
            "ExecuteAtenOperation": grpc.unary_unary_rpc_method_handler(
                self.execute_aten_operation,
                service_pb2.ExecuteAtenOperationRequest.FromString,
                service_pb2.ExecuteAtenOperationResponse.SerializeToString,
            ),
        }

    async def update_tensor(
        self, requests: AsyncIterator[service_pb2.UpdateTensorRequest], context: Context
    ) -> service_pb2.UpdateTensorResponse:
        """Allocates the tensor where it is new, and writes what arrives; returns when all of it is written."""
        view: View | None = None
        written = 0
        async with self._call(context) as route:
            async for request in requests:
                if view is None:
                    view = view_of(request.tensor)
                    await self._admit(request.session_id, request.after_sequence, context)
                    route.submit(ensure_records(view, request.device))
                route.submit(write_records(view, request.byte_offset, request.data))
                written += len(request.data)
                # A single message is never over the limit, so while this waits there is one whose end is yet to come.
                while self._executor.pending_bytes() > PENDING_BYTES:
                    await self._replies.progress()
            if view is None:
                raise RequestError("the call carries no message")
            async for _ in _answers(route):
                pass
        return service_pb2.UpdateTensorResponse(bytes_written=written)

    async def get_tensor(
        self, request: service_pb2.GetTensorRequest, context: Context
    ) -> AsyncIterator[service_pb2.GetTensorResponse]:
        """The tensor's elements in its own order, in chunks."""
        async with self._call(context) as route:
            view = view_of(request.tensor)
            await self._admit(request.session_id, request.after_sequence, context)
            route.submit(read_records(view))
            async for reply in _answers(route):
                if isinstance(reply, DataReply):
                    yield service_pb2.GetTensorResponse(
                        byte_offset=reply.offset, total_bytes=reply.total, data=reply.data
                    )

    async def copy_tensor(
        self, request: service_pb2.CopyTensorRequest, context: Context
    ) -> service_pb2.CopyTensorResponse:
        """As `destination.copy_(source)`."""
        async with self._call(context) as route:
            records = copy_records(view_of(request.source), view_of(request.destination))
            await self._admit(request.session_id, request.after_sequence, context)
            route.submit(records)
            async for _ in _answers(route):
                pass
        return service_pb2.CopyTensorResponse()

    async def delete_tensors(
        self, request: service_pb2.DeleteTensorsRequest, context: Context
    ) -> service_pb2.DeleteTensorsResponse:
        """Frees storages; the first one that isn't the session's ends the call."""
        async with self._call(context) as route:
            await self._admit(request.session_id, request.after_sequence, context)
            route.submit(free_records(request.storage_ids))
            async for _ in _answers(route):
                pass
        return service_pb2.DeleteTensorsResponse(deleted=len(request.storage_ids))

    async def execute_aten_operation(
        self, request: service_pb2.ExecuteAtenOperationRequest, context: Context
    ) -> service_pb2.ExecuteAtenOperationResponse:
        """Calls one op. An output that is no tensor is answered with an empty TensorRef."""
        outputs: list[service_pb2.TensorRef] = []
        async with self._call(context) as route:
            records = call_records(request)
            await self._admit(request.session_id, request.after_sequence, context)
            route.submit(records)
            async for reply in _answers(route):
                if isinstance(reply, ValuesReply):
                    outputs += [
                        view_message(value) if isinstance(value, View) else service_pb2.TensorRef()
                        for value in reply.values
                    ]
        return service_pb2.ExecuteAtenOperationResponse(outputs=outputs)

    @asynccontextmanager
    async def _call(self, context: Context) -> AsyncIterator[Route]:
        """A route for one call, which ends with a status that fits what is raised inside."""
        try:
            with self._replies.open() as route:
                yield route
        except (RequestError, MalformedError) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except _OpError as error:
            await context.abort(error.code, str(error))

    async def _admit(self, session_id: str, after_sequence: int, context: Context) -> None:
        if session_id not in {"", self._spec.session_id}:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no session {session_id!r} here")
        while self._executor.stats()["executed"] < after_sequence:
            await self._replies.progress()


async def _answers(route: Route) -> AsyncIterator[AnyReply]:
    """Everything that is answered to what was submitted; ends when all of it is executed."""
    route.finish()
    while (message := await route.next()) is not None:
        for reply in read_replies(message):
            if isinstance(reply, ErrorReply):
                raise _OpError(reply)
            yield reply
