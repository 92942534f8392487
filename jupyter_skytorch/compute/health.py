"""Asking a server whether it serves."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from .channel import open_channel
from .credentials import Credential

if TYPE_CHECKING:
    import grpc.aio

    from .channel import Address

__all__ = ["Health", "check", "serves"]


class Health(Enum):
    """What a health check found."""

    SERVING = "serving"
    STARTING = "starting"
    ABSENT = "absent"
    """Nothing listens there."""
    SILENT = "silent"
    """Something listens and does not answer."""


async def check(address: Address, seconds: float) -> Health:
    """Ask the server at an address on this machine for its health; no token is needed. Waits that many seconds."""
    import grpc.aio

    channel, _ = open_channel(address, Credential())
    try:
        return Health.SERVING if await serves(channel, seconds) else Health.STARTING
    except grpc.aio.AioRpcError as error:
        return Health.SILENT if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else Health.ABSENT
    finally:
        await channel.close()


async def serves(channel: grpc.aio.Channel, seconds: float) -> bool:
    """Ask over a channel whether sessions are served. Raises grpc.aio.AioRpcError."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    request = health_pb2.HealthCheckRequest(service="skytorch.torch.Service")
    stub: Any = health_pb2_grpc.HealthStub(channel)
    reply = await stub.Check(request, timeout=seconds)
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
