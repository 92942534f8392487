"""When a Compute was last used: its own server says so."""

from __future__ import annotations

import base64
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from skytorch_operator.credentials import names
from skytorch_wire import sessions_pb2, sessions_pb2_grpc

if TYPE_CHECKING:
    from skytorch_operator.api import Object

SECONDS = 10.0


@dataclass(frozen=True)
class Activity:
    """What a server answered."""

    last: dt.datetime
    sessions: int


async def ask(compute: Object, address: str, secret: Object) -> Activity:
    """Asks the server of a Compute, at its pod's IP, which must prove to be it. Raises grpc.RpcError."""
    metadata, port = compute["metadata"], compute["spec"]["port"]
    token, authority = (base64.b64decode(secret["data"][part]) for part in ("token", "ca.crt"))
    target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    options = [
        ("grpc.ssl_target_name_override", names(metadata["name"], metadata["namespace"])[0]),
        ("grpc.enable_http_proxy", 0),
    ]
    async with grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(authority), options) as channel:
        answer = await sessions_pb2_grpc.SessionsStub(channel).Activity(
            sessions_pb2.ActivityRequest(),
            metadata=(("authorization", f"Bearer {token.decode()}"),),
            timeout=SECONDS,
        )
    return Activity(answer.last_activity.ToDatetime(dt.UTC), answer.sessions)
