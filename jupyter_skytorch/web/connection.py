"""One open connection to a server."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from jupyter_skytorch.compute.channel import Address, open_channel
from jupyter_skytorch.compute.kubernetes.errors import KubernetesError
from jupyter_skytorch.web.health import ServerEndedError
from skytorch_wire import metrics_pb2, metrics_pb2_grpc, sessions_pb2, sessions_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from jupyter_skytorch.compute.place import Place
    from jupyter_skytorch.web.targets import Target


class Connection:
    """The calls that watching a server takes. Each raises TimeoutError or grpc.aio.AioRpcError within `patience`."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Sequence[tuple[str, str]], patience: float) -> None:
        self._metadata = metadata
        self._patience = patience
        # Its published types leave out the methods.
        self._health: Any = health_pb2_grpc.HealthStub(channel)
        self._sessions = sessions_pb2_grpc.SessionsStub(channel)
        self._metrics = metrics_pb2_grpc.MetricsStub(channel)

    async def check(self) -> None:
        """Returns if the server is serving."""
        answer = await self._health.Check(
            health_pb2.HealthCheckRequest(), metadata=self._metadata, timeout=self._patience
        )
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise ServerEndedError

    async def sessions(self) -> sessions_pb2.ListSessionsResponse:
        """The sessions of the credential's principal, those that ended included."""
        answer: sessions_pb2.ListSessionsResponse = await self._sessions.List(
            sessions_pb2.ListSessionsRequest(include_ended=True), metadata=self._metadata, timeout=self._patience
        )
        return answer

    async def keep_alive(self, session_id: str) -> sessions_pb2.Expiry:
        """Renews a session's lease; when it ends from then on."""
        answer: sessions_pb2.KeepAliveResponse = await self._sessions.KeepAlive(
            sessions_pb2.KeepAliveRequest(session_id=session_id), metadata=self._metadata, timeout=self._patience
        )
        return answer.expiry

    async def snapshots(self, interval: float) -> AsyncGenerator[metrics_pb2.MetricsSnapshot]:
        """Metric snapshots, one every `interval` seconds, until the server is gone or late by `patience`."""
        call = self._metrics.StreamMetrics(
            metrics_pb2.StreamMetricsRequest(interval_seconds=interval), metadata=self._metadata
        )
        try:
            while True:
                async with asyncio.timeout(interval + self._patience):
                    snapshot = await call.read()
                if snapshot is grpc.aio.EOF:
                    raise ServerEndedError
                yield snapshot
        finally:
            call.cancel()


@asynccontextmanager
async def connect(target: Target, *, patience: float) -> AsyncIterator[Connection]:
    """A connection to `target`; its channel is closed at the end.

    Raises OSError or ValueError when the credential cannot be read, or its cluster does not answer.
    """
    address, token, encryption = Address.parse(target.address), None, target.encryption
    if target.credential.kind == "kubernetes-secret":
        place = await _locate(target, address)
        address, token, encryption = place.door, place.token, place.encryption
    channel, metadata = open_channel(
        address, target.credential, encryption=encryption, insecure=target.insecure, token=token
    )
    async with channel:
        yield Connection(channel, metadata, patience)


async def release() -> None:
    """Close what connections to clusters there are."""
    if (process := sys.modules.get("jupyter_skytorch.compute.kubernetes.process")) is not None:
        await process.close()


async def _locate(target: Target, address: Address) -> Place:
    """A server in Kubernetes, as whoever runs this Jupyter server may reach it. Raises OSError."""
    try:
        from jupyter_skytorch.compute.kubernetes.locating import locate

        return await locate(target.credential, address)
    except (ImportError, KubernetesError) as error:
        raise OSError(str(error)) from None
