"""A server: its services put together, started and stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from skytorch_server.allowance import Allowance
from skytorch_server.audit import Audit
from skytorch_server.calls import MessageLimit
from skytorch_server.copy_targets import CopyTargets
from skytorch_server.limits import CHUNK_BYTES, CHUNK_BYTES_RANGE, DRAIN_SECONDS, MAX_MESSAGE_BYTES, channel_options
from skytorch_server.metrics.registry import SOURCES
from skytorch_server.metrics.sampler import Sampler
from skytorch_server.quota import Quota
from skytorch_server.session.spec import FRONT_SOCKET_NAME
from skytorch_wire import __version__, metrics_pb2_grpc, sessions_pb2_grpc

from .auth import Principals
from .census import SessionCensus
from .checkpoints import CheckpointLimits, Checkpoints
from .devices import Devices
from .door import Door
from .drain import drain
from .forkserver import ForkServer
from .gate import Gate
from .idle import until_idle
from .lifetime import SERVER_STOPPED
from .listening import Listening, listen_on_port, listen_on_socket
from .memory_guard import guard_memory
from .metrics_service import MetricsService
from .prometheus import Counts, PrometheusPage
from .quotas import Quotas
from .relay import SERVICE, relay_handler
from .session_service import SessionService
from .sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .tls import Tls

_log = logging.getLogger(__name__)

_METRICS = "skytorch.server.Metrics"
_SESSIONS = "skytorch.server.Sessions"
_GRACE_SECONDS = 1.0

# A Unix socket's path has at most 107 bytes; this much of it comes after the server's own folder.
_LONGEST_FOLDER = 80


class Server:
    """One server, which :func:`serve` runs. Made and used inside a running event loop."""

    def __init__(
        self,
        *,
        token_file: Path | None = None,
        tls: Tls | None = None,
        insecure: bool = False,
        max_sessions: int = 64,
        metrics_sources: Sequence[str] = tuple(SOURCES),
        allowance: Allowance | None = None,
        exit_when_idle: float | None = None,
        unix_socket: Path | None = None,
        direct: bool = True,
        functions: bool = True,
        checkpoint_folder: Path | None = None,
        checkpoint_limits: CheckpointLimits | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        quota: Quota | None = None,
        audit_log: Path | None = None,
        metrics_port: int | None = None,
        metrics_host: str = "127.0.0.1",
        log_format: str = "text",
        drain_seconds: float = DRAIN_SECONDS,
        copy_targets: CopyTargets | None = None,
    ) -> None:
        """Prepares a server; nothing listens yet.

        Args:
            token_file: lines ``principal:token``, or one bare token. None: everybody is "local".
            tls: what connections to the port are encrypted with; a Unix socket needs none. None: they are plain.
            insecure: allows clients from other machines although nothing protects the connection.
            max_sessions: sessions at a time, of all principals together.
            metrics_sources: names of :data:`skytorch_server.metrics.registry.SOURCES`.
            allowance: what a session may have; None: :class:`.allowance.Allowance` as it is.
            exit_when_idle: seconds without a session after which the server stops by itself.
            unix_socket: the one place to listen, instead of a port.
            direct: whether clients are told of the sockets of their sessions' own processes.
            functions: whether sessions run functions that their clients send.
            checkpoint_folder: where named objects are kept on disk; None: nowhere.
            checkpoint_limits: what a principal may keep there.
            max_message_bytes: of one gRPC message; what is larger travels in several.
            quota: what a principal may have for which the token file says nothing. None: as much as there is.
            audit_log: a file for who did what. None: it isn't written.
            metrics_port: where Prometheus finds the metrics, 0 for any free port. None: nowhere.
            metrics_host: the address of that port.
            log_format: of the sessions' logs: one of :data:`skytorch_server.logs.FORMATS`.
            drain_seconds: what sessions have to finish what was issued and to write checkpoints when the server stops.
            copy_targets: the servers that sessions may send tensors to. None: those of this user on this machine.

        Raises:
            SecretFileError: `token_file` can't be read or understood.
            OSError: `checkpoint_folder` can't be used, or `audit_log` not be written.
        """
        self._principals = Principals(token_file)
        self._token = token_file is not None
        self._tls = tls
        self._insecure = insecure
        self._max_sessions = max_sessions
        self._metrics_sources = metrics_sources
        self._allowance = allowance or Allowance()
        self._exit_when_idle = exit_when_idle
        self._unix_socket = unix_socket
        self._direct = direct
        self._functions = functions
        self._checkpoints = Checkpoints(checkpoint_folder, checkpoint_limits or CheckpointLimits())
        self._limit = MessageLimit(max_message_bytes)
        self._quotas = Quotas(quota or Quota(), self._principals.quota)
        self._audit = Audit(audit_log)
        self._metrics_place = None if metrics_port is None else (metrics_host, metrics_port)
        self._log_format = log_format
        self._copy_targets = copy_targets or CopyTargets()
        self._listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        self._drain_seconds = drain_seconds
        self._stop = asyncio.Event()
        self._hurried = asyncio.Event()
        self.boot_id = secrets.token_hex(16)

    async def listening(self) -> Listening:
        """Where the server listens; waits until it does, and raises what :func:`serve` does if it can't."""
        return await asyncio.shield(self._listening)

    def stop(self) -> None:
        """Makes :func:`serve` drain and end the sessions, and return; it takes `drain_seconds` and 8 s at most.

        Called once more, it doesn't wait for what sessions are at.
        """
        if self._stop.is_set():
            self._hurried.set()
        self._stop.set()

    async def run(self, host: str, port: int, chunk_bytes: int) -> None:
        """What :func:`serve` does."""
        try:
            _check_chunk_bytes(chunk_bytes)
            folder = _own_folder()
            try:
                await self._run(folder, host, port, chunk_bytes)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        except BaseException as error:
            if not self._listening.done():
                self._listening.set_exception(error)
                # Whoever waits for it hears of it; it is no mishap that perhaps nobody does.
                self._listening.exception()
            raise

    async def _run(self, folder: Path, host: str, port: int, chunk_bytes: int) -> None:
        max_message_bytes = self._limit.max_bytes
        fork_server = ForkServer()
        devices = Devices(fork_server)
        sessions = Sessions(
            fork_server,
            folder,
            boot_id=self.boot_id,
            chunk_bytes=chunk_bytes,
            functions=self._functions,
            allowance=self._allowance,
            limit=self._max_sessions,
            checkpoints=self._checkpoints,
            max_message_bytes=max_message_bytes,
            log_format=self._log_format,
            quotas=self._quotas,
            audit=self._audit,
            copy_targets=self._copy_targets,
        )
        door = Door(folder / FRONT_SOCKET_NAME, sessions.tunnel, self._tls)
        gate = Gate(self._principals, self._limit, door.address_of, self._audit)
        grpc_server = grpc.aio.server(interceptors=[gate], options=channel_options(max_message_bytes))
        listening = self._listen(grpc_server, host, port)
        service = SessionService(sessions, devices, self._checkpoints, direct=self._direct)
        sampler = Sampler(self._metrics_sources, SessionCensus(sessions))
        sessions_pb2_grpc.add_SessionsServicer_to_server(service, grpc_server)
        metrics_pb2_grpc.add_MetricsServicer_to_server(MetricsService(sampler, self.boot_id), grpc_server)
        grpc_server.add_generic_rpc_handlers([relay_handler(sessions, self._limit)])
        grpc_server.add_insecure_port(f"unix:{folder / FRONT_SOCKET_NAME}")
        page = self._serve_metrics(sampler, sessions, gate, door)
        healthy = await _add_health_and_reflection(grpc_server)
        try:
            await grpc_server.start()
            door.listen(listening.sockets)
            devices.look()
            _log.info("skytorch %s listens on %s", __version__, ", ".join(listening.addresses))
            self._listening.set_result(listening)
            guard = asyncio.create_task(guard_memory(sessions, devices))
            try:
                await self._until_stopped(sessions)
                await healthy.enter_graceful_shutdown()
                door.stop_listening()
                await drain(sessions, self._checkpoints, self._drain_seconds, self._hurried)
            finally:
                guard.cancel()
        finally:
            await healthy.enter_graceful_shutdown()
            door.stop_listening()
            await devices.stop()
            # The sessions' ends are what ends the calls that still run.
            await asyncio.gather(sessions.close_all(SERVER_STOPPED), grpc_server.stop(_GRACE_SECONDS))
            door.close()
            if page is not None:
                # Its threads may be waiting for this one.
                await asyncio.to_thread(page.close)
            sampler.close()
            self._audit.close()

    def _serve_metrics(self, sampler: Sampler, sessions: Sessions, gate: Gate, door: Door) -> PrometheusPage | None:
        if self._metrics_place is None:
            return None
        counts = Counts(
            sessions,
            calls_refused=lambda: gate.refused,
            calls_put_off=lambda: gate.put_off,
            tls_failures=lambda: door.tls_failures,
        )
        page = PrometheusPage(*self._metrics_place, sampler, counts)
        _log.info("Prometheus finds metrics at %s", page.address)
        return page

    def _listen(self, grpc_server: grpc.aio.Server, host: str, port: int) -> Listening:
        if self._unix_socket is not None:
            return listen_on_socket(grpc_server, self._unix_socket)
        known = self._token or (self._tls is not None and self._tls.asks_clients)
        return listen_on_port(host, port, known=known, encrypted=self._tls is not None, insecure=self._insecure)

    async def _until_stopped(self, sessions: Sessions) -> None:
        stopped = asyncio.create_task(self._stop.wait())
        ends: list[asyncio.Task[object]] = [stopped]
        if self._exit_when_idle is not None:
            ends.append(asyncio.create_task(until_idle(sessions, self._exit_when_idle)))
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()


async def serve(server: Server, *, host: str = "[::]", port: int = 50051, chunk_size: int = CHUNK_BYTES) -> None:
    """Runs `server` until :meth:`Server.stop`, or until it has been idle for long enough.

    Args:
        server: used once.
        host: the address to listen on; loopback in any case where neither `insecure` nor both token file and TLS are.
        port: 0 for any free one, see :meth:`Server.listening`.
        chunk_size: the preferred payload of one frame of bulk data, in bytes.

    Raises:
        ListenError: it can't listen there.
        ValueError: `chunk_size` is out of range.
    """
    await server.run(host, port, chunk_size)


async def _add_health_and_reflection(grpc_server: grpc.aio.Server) -> health.aio.HealthServicer:
    healthy = health.aio.HealthServicer()
    for service in ("", SERVICE, _METRICS, _SESSIONS):
        await healthy.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, grpc_server)
    names = (SERVICE, _METRICS, _SESSIONS, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, grpc_server)
    return healthy


def _check_chunk_bytes(chunk_bytes: int) -> None:
    if not CHUNK_BYTES_RANGE[0] <= chunk_bytes <= CHUNK_BYTES_RANGE[1]:
        raise ValueError(f"the chunk size is between {CHUNK_BYTES_RANGE[0]} and {CHUNK_BYTES_RANGE[1]} bytes")


def _own_folder() -> Path:
    """A new folder that only we can enter, with a path short enough for sockets in it."""
    places = [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]  # noqa: S108 - mkdtemp is private
    for place in places:
        if place and len(place) < _LONGEST_FOLDER - 20 and os.access(place, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="skytorch-", dir=place))
    raise OSError(f"there is no folder for sockets: tried {', '.join(place for place in places if place)}")
