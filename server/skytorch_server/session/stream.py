"""StreamOperations: the session's one ordered log.

A frame goes from gRPC to the executor, and a reply from the executor to gRPC, as the bytes that they are; a small read
passes no queue and wakes one task.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from skytorch_server import tensors
from skytorch_server.calls import MessageLimit
from skytorch_server.limits import version_mismatch
from skytorch_wire import service_pb2
from skytorch_wire.compression import COMPRESSED, Inflater, InflationError

from .attach_secret import AttachSecret
from .replies import MalformedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from skytorch_server.audit import Audit

    from .executor import Executor
    from .replies import Replies
    from .spec import SessionSpec

_log = logging.getLogger(__name__)

_COMPRESSED = bytes([COMPRESSED])

# Of serialized messages; `read` may also return EOF.
Context = grpc.aio.ServicerContext[Any, bytes]


@dataclass(frozen=True)
class End:
    """How a stream ends."""

    code: grpc.StatusCode
    message: str


TAKEN_OVER = End(grpc.StatusCode.ABORTED, "a newer stream has taken over this session")
ANOTHER_KERNEL = End(grpc.StatusCode.ABORTED, "another kernel has taken over this session")
# How long what was issued to a log that is over may still run, before the rest of it is skipped.
_DRAIN_SECONDS = 5.0
_ALL = 1, 2**64 - 1


class Stream:
    """At most one call at a time is attached; a newer one, with a higher epoch, takes over from an older."""

    def __init__(self, spec: SessionSpec, executor: Executor, replies: Replies, audit: Audit) -> None:
        self._spec = spec
        self._executor = executor
        self._replies = replies
        self._audit = audit
        self._limit = MessageLimit(spec.max_message_bytes)
        self._route = replies.stream
        self._epoch = 0
        self._inflater: Inflater | None = None
        self._replies_received = 0
        self._taken_over: asyncio.Future[End] | None = None
        self._secret = AttachSecret(spec.attach_secret)
        self._free = asyncio.Lock()

    async def operations(self, _requests: object, context: Context) -> None:
        """The handler of StreamOperations. Sends and receives serialized messages."""
        end = await self.attach(await context.read(), lambda taken_over: self._serve(context, taken_over))
        if end is not None:
            await context.abort(end.code, end.message)

    async def attach(self, first: Any, serve: Callable[[asyncio.Future[End]], Awaitable[End | None]]) -> End | None:
        """Has `serve` serve the stream that begins with the message `first`, if that is right; how it ended.

        `serve` gets the future of a newer stream that takes over, and calls :meth:`reopened`.
        """
        attach = self._check(first)
        if isinstance(attach, End):
            self._audit.write("attach refused", session=self._spec.session_id, result=attach.message)
            return attach
        self._audit.write("attached", session=self._spec.session_id, epoch=attach.epoch)
        self._epoch = attach.epoch
        self._end(TAKEN_OVER)
        taken_over: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._taken_over = taken_over
        async with self._free:
            wanted = service_pb2.COMPRESSION_ZSTD in attach.capabilities.compressions
            self._inflater = Inflater() if wanted else None
            self._replies_received = attach.replies_received
            if attach.begin and not taken_over.done():
                await self._begin()
            end = await serve(taken_over)
        if end is not None:
            _log.info("session %s: stream ended: %s", self._spec.session_id, end.message)
        return end

    async def replace_secret(self, secret: bytes, new: bytes, *, begin: bool) -> bool:
        """Ends the stream that is attached for good: from now on only `new` attaches one. False: `secret` isn't right.

        `begin`: the log begins anew at once, else when the next stream says so.
        """
        if not self._secret.replace(secret, new):
            return False
        self._epoch = 0
        self._end(ANOTHER_KERNEL)
        if begin:
            async with self._free:
                await self._begin()
        return True

    def _end(self, end: End) -> None:
        if self._taken_over is not None and not self._taken_over.done():
            self._taken_over.set_result(end)

    async def _begin(self) -> None:
        """Begins the log anew, when what was submitted is executed."""
        skip = asyncio.get_running_loop().call_later(_DRAIN_SECONDS, self._executor.cancel, *_ALL)
        try:
            await self._route.begin()
        finally:
            skip.cancel()
        tensors.clear()

    def reopened(self, *, by_socket: bool) -> bytes:
        """Makes the route ready; the answer to `attach`."""
        received = self._route.reopen(self._replies_received, by_socket=by_socket)
        return self._attached(received, compressed=self._inflater is not None)

    def inflate(self, request: bytes) -> bytes:
        """The request that a compressed one stands for, on the stream that is attached. Raises InflationError."""
        if self._inflater is None:
            raise InflationError("this stream has no compression")
        return self._inflater.inflate(request)

    async def _serve(self, context: Context, taken_over: asyncio.Future[End]) -> End | None:
        await context.write(self.reopened(by_socket=False))
        reading = asyncio.create_task(self._read(context))
        writing = asyncio.create_task(self._write(context))
        try:
            ends: list[asyncio.Future[Any]] = [reading, writing, taken_over]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not taken_over.done():
                if not reading.cancelled() and reading.exception() is None and (end := reading.result()) is not None:
                    return end
                # The client has sent all that it wanted to send, and may still wait for answers.
                self._route.finish()
                await asyncio.wait(ends[1:], return_when=asyncio.FIRST_COMPLETED)
            if taken_over.done():
                return taken_over.result()
            return writing.result()
        finally:
            self._route.detach()
            for task in (reading, writing):
                task.cancel()
                with suppress(asyncio.CancelledError, grpc.aio.BaseError):
                    await task

    async def _read(self, context: Context) -> End | None:
        while (message := await context.read()) is not grpc.aio.EOF:
            if complaint := self._limit.complaint(message):
                return End(grpc.StatusCode.RESOURCE_EXHAUSTED, complaint)
            if message[:1] == _COMPRESSED:
                try:
                    message = self.inflate(message)
                except InflationError as error:
                    self._route.refuse(str(error))
                    return None
            self._route.submit(message)
            # What comes next waits with the client; while this waits there is a message whose end is yet to come.
            while self._executor.full():
                await self._replies.progress()
        return None

    async def _write(self, context: Context) -> End | None:
        try:
            while (message := await self._route.next()) is not None:
                await context.write(message)
            # The client ended the stream; the last thing that it hears is that all of it was executed.
            last = service_pb2.StreamResponse(executed=self._executor.stats()["executed"], epoch=self._epoch)
            await context.write(last.SerializeToString())
        except MalformedError as error:
            return End(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return None

    def _check(self, first: Any) -> service_pb2.Attach | End:
        if first is grpc.aio.EOF:
            return End(grpc.StatusCode.INVALID_ARGUMENT, "the stream carries no message")
        try:
            request = service_pb2.StreamRequest.FromString(first)
        except DecodeError:
            return End(grpc.StatusCode.INVALID_ARGUMENT, "the first message is not a StreamRequest")
        attach = request.attach
        if not request.HasField("attach") or request.records:
            return End(
                grpc.StatusCode.INVALID_ARGUMENT, "the first message of a stream carries `attach` and no records"
            )
        if attach.session_id != self._spec.session_id:
            return End(grpc.StatusCode.NOT_FOUND, f"there is no session {attach.session_id!r} here")
        if self._secret.was(attach.attach_secret):
            return ANOTHER_KERNEL
        if not self._secret.matches(attach.attach_secret):
            return End(grpc.StatusCode.PERMISSION_DENIED, "the attach secret is not this session's")
        if mismatch := version_mismatch(attach.capabilities.protocol_version):
            return End(grpc.StatusCode.FAILED_PRECONDITION, mismatch)
        if attach.boot_id and attach.boot_id != self._spec.boot_id:
            return End(grpc.StatusCode.FAILED_PRECONDITION, "the server has been restarted since the session began")
        if attach.epoch <= self._epoch:
            return End(
                grpc.StatusCode.FAILED_PRECONDITION, f"epoch {attach.epoch} is not newer than epoch {self._epoch}"
            )
        return attach

    def _attached(self, received: int, *, compressed: bool) -> bytes:
        attached = service_pb2.Attached(
            epoch=self._epoch,
            boot_id=self._spec.boot_id,
            executed=self._executor.stats()["executed"],
            received=received,
            capabilities=self._spec.capabilities(),
            compression=service_pb2.COMPRESSION_ZSTD if compressed else service_pb2.COMPRESSION_NONE,
        )
        return service_pb2.StreamResponse(attached=attached, epoch=self._epoch).SerializeToString()
