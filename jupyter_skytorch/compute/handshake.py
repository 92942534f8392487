"""The first words with a server: does it serve, are we let in, and a session, please."""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import torch

from jupyter_skytorch.device.errors import ConnectError
from skytorch_wire import PROTOCOL_VERSION, __version__, service_pb2, sessions_pb2, sessions_pb2_grpc

from .channel import MAX_MESSAGE_BYTES, open_channel
from .health import serves
from .kernel import kernel_id
from .refusal import explain_refusal, explain_silence

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from .credentials import Metadata
    from .place import Place
    from .terms import Terms

__all__ = ["Handshake", "UnreachableError", "abandon", "create_session", "take_over_session"]

_ANSWER_SECONDS = 3.5
"""A server that serves answers its first call within this; with the look from below that follows, what is wrong is
told within 5 s."""
_CHUNK_BYTES = 1024 * 1024


class UnreachableError(ConnectError):
    """Nothing answered as a SkyTorch server. The message is one line."""


@dataclass(frozen=True)
class Handshake:
    """A session that was made, and the channel to its front."""

    place: Place
    channel: grpc.aio.Channel
    metadata: Metadata
    created: sessions_pb2.CreateSessionResponse


async def create_session(place: Place, name: str, terms: Terms, seconds: float) -> Handshake:
    """Make a session on a server, within a number of seconds. Call it on the control thread.

    Raises UnreachableError or another ConnectError, AddressError, CredentialError.
    """
    request = sessions_pb2.CreateSessionRequest(
        name=name,
        capabilities=_capabilities(),
        labels=_labels(),
        lease_seconds=terms.idle_timeout,
        max_age_seconds=terms.max_age,
        memory_bytes=terms.memory,
    )
    return await _shake_hands(place, seconds, lambda stub: stub.Create, request)


async def take_over_session(place: Place, session_id: str, name: str, seconds: float) -> Handshake:
    """Take over a session that another kernel had, within a number of seconds. Call it on the control thread.

    `name` is what it is called from now on; empty: as before. Raises as :func:`create_session`.
    """
    request = sessions_pb2.TakeOverRequest(
        session_id=session_id, name=name, capabilities=_capabilities(), labels=_labels()
    )
    return await _shake_hands(place, seconds, lambda stub: stub.TakeOver, request)


async def _shake_hands(
    place: Place, seconds: float, method: Callable[[sessions_pb2_grpc.SessionsStub], Any], request: Message
) -> Handshake:
    channel, metadata = open_channel(
        place.door, place.credential, encryption=place.encryption, insecure=place.insecure, token=place.token
    )
    try:
        await _greet(channel, place, seconds)
        try:
            call = method(sessions_pb2_grpc.SessionsStub(channel))
            created = await call(request, timeout=seconds, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise ConnectError(explain_refusal(error, place)) from None
    except BaseException:
        await channel.close()
        raise
    return Handshake(place, channel, metadata, created)


async def abandon(handshake: Handshake) -> None:
    """Give back a session that came to nothing."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        request = sessions_pb2.CloseSessionRequest(session_id=handshake.created.session.session_id)
        stub = sessions_pb2_grpc.SessionsStub(handshake.channel)
        await stub.Close(request, timeout=_ANSWER_SECONDS, metadata=handshake.metadata)
    await handshake.channel.close()


async def _greet(channel: grpc.aio.Channel, place: Place, seconds: float) -> None:
    """Make a call that any SkyTorch server answers at once; making a session may rightly take longer."""
    try:
        if not await serves(channel, min(seconds, _ANSWER_SECONDS)):
            raise UnreachableError(f"{place.address} is starting or about to end: try again")
    except grpc.aio.AioRpcError as error:
        raise UnreachableError(await explain_silence(error, place)) from None


def _labels() -> dict[str, str]:
    labels = {
        "kernel_id": kernel_id(),
        "notebook": os.environ.get("JPY_SESSION_NAME"),
        "host": platform.node(),
        "pid": str(os.getpid()),
    }
    return {key: value for key, value in labels.items() if value}


def _capabilities() -> service_pb2.Capabilities:
    return service_pb2.Capabilities(
        protocol_version=PROTOCOL_VERSION,
        package_version=__version__,
        torch_version=torch.__version__,
        compressions=[service_pb2.COMPRESSION_NONE],
        max_message_bytes=MAX_MESSAGE_BYTES,
        chunk_bytes=_CHUNK_BYTES,
    )
