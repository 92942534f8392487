"""A session's process: a gRPC server on a Unix socket in the session's own folder."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc

from skytorch_server.audit import Audit
from skytorch_server.calls import LimitMessages, MessageLimit
from skytorch_server.limits import channel_options
from skytorch_server.logs import set_up_logging
from skytorch_wire import sessions_pb2_grpc

from . import executor as native_executor
from .checkpoints import Checkpoints
from .copies import Copies
from .functions import Functions
from .intake import Intake
from .local_stream import LocalStreams
from .replies import Replies
from .spec import FRONT_SOCKET_NAME, Started
from .stream import Stream
from .unary import Unary
from .worker_service import WorkerService

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from .spec import SessionSpec

_log = logging.getLogger(__name__)


def run(spec: SessionSpec, front: Connection) -> None:
    """Serves the session until `front` says so or is gone. Doesn't return."""
    set_up_logging(spec.log_level, spec.log_format, session=spec.session_id)
    audit = Audit(spec.audit_log)
    functions = Functions(lambda record: audit.write("function", session=spec.session_id, record=record))
    threading.Thread(target=_run, args=(spec, front, functions, audit), name="session").start()
    functions.serve()


def _run(spec: SessionSpec, front: Connection, functions: Functions, audit: Audit) -> None:
    try:
        asyncio.run(_serve(spec, front, functions, audit))
    except Exception:  # noqa: BLE001 - logged, and the process ends
        _log.exception("session %s", spec.session_id)
        os._exit(1)
    # An op that still runs is not waited for, and the driver frees what the process held.
    os._exit(0)


async def _serve(spec: SessionSpec, front: Connection, functions: Functions, audit: Audit) -> None:
    try:
        executor = native_executor.create(spec.chunk_bytes)
        executor.limit(spec.memory_bytes, spec.pending_records, spec.pending_bytes)
        executor.note_crashes(str(spec.last_op))
    except Exception as error:  # noqa: BLE001 - whatever it is, the client has to read it
        front.send_bytes(Started(error=f"{type(error).__name__}: {error}").to_bytes())
        return
    if spec.functions:
        executor.serve_functions(functions, spec.memory_bytes)
    copies = Copies(
        spec.copy_targets,
        lambda where, wrong: audit.write("connected out", session=spec.session_id, to=where, result=wrong),
    )
    executor.serve_copies(copies)
    replies = Replies(executor)
    stream = Stream(spec, executor, replies, audit)
    server = grpc.aio.server(
        interceptors=[LimitMessages(MessageLimit(spec.max_message_bytes))],
        options=channel_options(spec.max_message_bytes),
    )
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "StreamOperations": grpc.stream_stream_rpc_method_handler(stream.operations),
        **Unary(spec, executor, replies).handlers(),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("skytorch.torch.Service", handlers)])
    service = WorkerService(executor, functions, copies, stream, Checkpoints(spec.checkpoints, executor))
    sessions_pb2_grpc.add_WorkerServicer_to_server(service, server)
    server.add_insecure_port(f"unix:{spec.socket}")
    await server.start()
    local = LocalStreams(spec, stream, replies.stream)
    intake = Intake(spec, copies.tickets)
    front.send_bytes(Started().to_bytes())
    asked = await _told_to_end(front)
    local.close()
    intake.close()
    await server.stop(None)
    if not asked:
        # The front is gone and can't clean up after us any more.
        shutil.rmtree(spec.folder, ignore_errors=True)
        with suppress(OSError):
            (spec.folder.parent / FRONT_SOCKET_NAME).unlink(missing_ok=True)
            spec.folder.parent.rmdir()


async def _told_to_end(front: Connection) -> bool:
    """Returns when the session is to end: True when the front asked for it, False when the front itself is gone."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        loop.remove_reader(front.fileno())
        heard.set_result(None)

    loop.add_reader(front.fileno(), note)
    await heard
    try:
        front.recv_bytes()
    except (EOFError, OSError):
        return False
    return True
