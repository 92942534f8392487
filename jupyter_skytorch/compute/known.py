"""The sessions of this user that are known here: those written down by kernels of this machine, and their servers'."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc

from jupyter_skytorch.device.errors import ConnectError
from skytorch_wire import sessions_pb2, sessions_pb2_grpc

from . import local, records, registry
from .channel import Address, AddressError, open_channel
from .credentials import Credential, CredentialError
from .place import Place
from .suggestion import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .records import SessionRecord

__all__ = ["find_place", "known_sessions"]

_ANSWER_SECONDS = 2.0


async def find_place(session_id: str, credential: tuple[Credential, str | None] | None) -> tuple[Place, str]:
    """Find the server of a session, and what the session is called. `credential` takes the place of the known one.

    Raises ConnectError.
    """
    for record in records.read_all():
        if record.session_id == session_id and (place := _place(record, credential)):
            return place, record.name
    places = await _places(credential)
    found = await _ask(places)
    for place, sessions in found:
        for session in sessions:
            if session.session_id == session_id:
                return place, session.name or place.name
    ids = [session.session_id for _, sessions in found for session in sessions]
    if not places:
        raise ConnectError(f"no server is known that could have the session {session_id!r}: %sky connect to it first")
    hint = did_you_mean(session_id, ids) or "; %sky sessions lists those that there are"
    raise ConnectError(f"there is no session {session_id!r} of yours on the servers that are known here{hint}")


async def known_sessions() -> list[sessions_pb2.Session]:
    """The sessions of yours on all servers that are known here and answer."""
    return [session for _, sessions in await _ask(await _places(None)) for session in sessions]


async def _places(credential: tuple[Credential, str | None] | None) -> list[Place]:
    embedded = await local.running()
    connected = [compute.place for compute in registry.computes().values()]
    written = [place for record in records.read_all() if (place := _place(record, credential))]
    return list(
        {str(place.address): place for place in [*([embedded] if embedded else []), *written, *connected]}.values()
    )


def _place(record: SessionRecord, credential: tuple[Credential, str | None] | None) -> Place | None:
    try:
        reference, token = credential or (record.credential, record.credential.token())
        address = Address.parse(record.address)
        return Place(record.provider, record.name, address, reference, token, record.encryption, record.insecure)
    except (AddressError, CredentialError):
        return None


async def _ask(places: Iterable[Place]) -> list[tuple[Place, list[sessions_pb2.Session]]]:
    places = list(places)
    return list(zip(places, await asyncio.gather(*map(_sessions, places)), strict=True))


async def _sessions(place: Place) -> list[sessions_pb2.Session]:
    with contextlib.suppress(AddressError, CredentialError, grpc.aio.AioRpcError):
        channel, metadata = open_channel(
            place.address, place.credential, encryption=place.encryption, insecure=place.insecure, token=place.token
        )
        try:
            stub = sessions_pb2_grpc.SessionsStub(channel)
            request = sessions_pb2.ListSessionsRequest()
            return list((await stub.List(request, metadata=metadata, timeout=_ANSWER_SECONDS)).sessions)
        finally:
            await channel.close()
    return []
