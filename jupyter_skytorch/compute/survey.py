"""All sessions of this user at all servers that are known here, those of dead kernels among them. Imports no torch."""

from __future__ import annotations

import asyncio
import os
import platform
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from skytorch_wire import sessions_pb2, sessions_pb2_grpc

from . import local, records
from .channel import Address, AddressError, Credential, CredentialError, open_channel
from .encryption import Encryption
from .kubernetes.errors import KubernetesError
from .place import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from .credentials import Metadata
    from .records import SessionRecord

__all__ = ["KnownServer", "KnownSession", "SurveyError", "close", "find", "keep", "survey"]

_ANSWER_SECONDS = 3.0

Kernel = Literal["this", "alive", "dead", "elsewhere"]
State = Literal["active", "orphan", "lost", "unreachable"]


class SurveyError(LookupError):
    """No session is meant, or its server can't be asked. The message is one line."""


@dataclass(frozen=True)
class KnownServer:
    """A server, and how this user is known to it. Two credentials at one address are two servers."""

    address: Address
    credential: Credential
    insecure: bool = False
    token: str | None = None
    """Stands in for a credential that is in a kernel's memory only."""
    encryption: Encryption = field(default_factory=Encryption)
    provider: str = "address"
    via: Address | None = None
    """Where to connect to instead, where this process knows."""

    @classmethod
    def of(cls, record: SessionRecord) -> KnownServer | None:
        """The server of a record; None for a record that names none."""
        try:
            address = Address.parse(record.address)
        except AddressError:
            return None
        return cls(address, record.credential, record.insecure, encryption=record.encryption, provider=record.provider)

    @classmethod
    def of_place(cls, place: Place) -> KnownServer:
        """The server that this process is connected to."""
        return cls(
            place.address,
            place.credential,
            place.insecure,
            place.token,
            place.encryption,
            place.provider,
            place.via,
        )

    async def place(self) -> Place:
        """The server as one that can be connected to; on the control thread. Raises KubernetesError."""
        if self.credential.kind == "kubernetes-secret" and self.token is None:
            from .kubernetes.locating import locate

            return await locate(self.credential, self.address)
        return Place(
            self.provider,
            str(self.address),
            self.address,
            self.credential,
            self.token,
            self.encryption,
            self.insecure,
            self.via,
        )

    @property
    def key(self) -> tuple[Address, Credential, Encryption]:
        """What tells it from other servers."""
        return self.address, self.credential, self.encryption

    def __repr__(self) -> str:
        # Without the token.
        return f"KnownServer({self.address})"

    @asynccontextmanager
    async def calls(self) -> AsyncIterator[tuple[sessions_pb2_grpc.SessionsStub, Metadata]]:
        """A stub for calls about sessions, and the metadata that each carries."""
        place = await self.place()
        channel, metadata = open_channel(
            place.door, place.credential, encryption=place.encryption, insecure=place.insecure, token=place.token
        )
        async with channel:
            yield sessions_pb2_grpc.SessionsStub(channel), metadata


@dataclass(frozen=True)
class KnownSession:
    """One session, as its server and its kernel's record have it."""

    session_id: str
    name: str
    """What its kernel calls the Compute."""
    server: KnownServer
    session: sessions_pb2.Session | None
    """None where the server could not be asked, or does not have it."""
    record: SessionRecord | None
    kernel: Kernel
    state: State

    @property
    def notebook(self) -> str:
        """The notebook's path, as far as it is known; else empty."""
        return self.session.labels.get("notebook", "") if self.session is not None else ""


async def survey(extra: Iterable[KnownServer] = ()) -> list[KnownSession]:
    """Ask the embedded server, those that records of this machine name, and `extra` ones; oldest session first.

    A server that does not answer within 3 s has its recorded sessions listed as unreachable. What is over with its
    kernel is left out, and its record is removed.
    """
    embedded = await local.running()
    extra = [*extra, *([KnownServer.of_place(embedded)] if embedded else [])]
    recorded = [(record, KnownServer.of(record)) for record in records.read_all()]
    servers = {server.key: server for _, server in recorded if server is not None}
    # One that brings a token of its own knows more than a record does.
    servers |= {server.key: server for server in extra}
    answers = dict(zip(servers, await asyncio.gather(*map(_list, servers.values())), strict=True))
    # With two credentials one may see what the other may not, and both may see the same.
    listed = {
        session.session_id: (session, servers[key]) for key, answer in answers.items() for session in answer or ()
    }
    found = []
    for record, server in recorded:
        if server is not None:
            session, at = listed.pop(record.session_id, (None, servers[server.key]))
            found.append(_recorded(record, at, session, asked=answers[server.key] is not None))
    found += [_unrecorded(session, server) for session, server in listed.values()]
    return sorted((one for one in found if one is not None), key=_began)


def find(found: Sequence[KnownSession], text: str) -> KnownSession:
    """The session whose id begins so. Raises SurveyError when none does, or several do."""
    matches = [one for one in found if one.session_id.startswith(text)] if text else []
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise SurveyError(f"{len(matches)} sessions begin with {text!r}: write more of the id")
    ids = ", ".join(one.session_id for one in found)
    raise SurveyError(f"there is no session {text!r}" + (f"; there is {ids}" if ids else ""))


async def keep(known: KnownSession) -> KnownSession:
    """Renew a session's lease. Returns it as it is then; raises SurveyError."""
    async with _asked(known) as (stub, metadata):
        await stub.KeepAlive(
            sessions_pb2.KeepAliveRequest(session_id=known.session_id), timeout=_ANSWER_SECONDS, metadata=metadata
        )
        session = await stub.Get(
            sessions_pb2.GetSessionRequest(session_id=known.session_id), timeout=_ANSWER_SECONDS, metadata=metadata
        )
    return replace(known, session=session)


async def close(known: KnownSession) -> None:
    """End a session and free what it holds. Raises SurveyError."""
    async with _asked(known) as (stub, metadata):
        await stub.Close(
            sessions_pb2.CloseSessionRequest(session_id=known.session_id), timeout=_ANSWER_SECONDS, metadata=metadata
        )
    if known.record is not None and known.kernel == "dead":
        records.remove(known.session_id)


@asynccontextmanager
async def _asked(known: KnownSession) -> AsyncIterator[tuple[sessions_pb2_grpc.SessionsStub, Metadata]]:
    import grpc.aio

    try:
        async with known.server.calls() as asked:
            yield asked
    except grpc.aio.AioRpcError as error:
        said = " ".join((error.details() or error.code().name).split())[:300]
        raise SurveyError(f"{known.server.address} did not do it: {said}") from None
    except (AddressError, CredentialError, KubernetesError) as error:
        raise SurveyError(str(error)) from None


async def _list(server: KnownServer) -> list[sessions_pb2.Session] | None:
    """The active sessions of a server; None when it can't be asked."""
    import grpc.aio

    if server.credential.kind == "kernel-only" and server.token is None:
        return None
    try:
        async with server.calls() as (stub, metadata):
            request = sessions_pb2.ListSessionsRequest()
            answer = await stub.List(request, timeout=_ANSWER_SECONDS, metadata=metadata)
    except (grpc.aio.AioRpcError, AddressError, CredentialError, KubernetesError):
        return None
    return list(answer.sessions)


def _recorded(
    record: SessionRecord, server: KnownServer, session: sessions_pb2.Session | None, *, asked: bool
) -> KnownSession | None:
    alive = record.kernel_alive()
    kernel: Kernel = "this" if record.pid == os.getpid() else "alive" if alive else "dead"
    if session is not None:
        state: State = "active" if alive else "orphan"
    elif not asked:
        state = "unreachable"
    elif alive:
        state = "lost"
    else:
        records.remove(record.session_id)
        return None
    return KnownSession(record.session_id, record.name, server, session, record, kernel, state)


def _unrecorded(session: sessions_pb2.Session, server: KnownServer) -> KnownSession:
    kernel: Kernel = "elsewhere"
    pid = session.labels.get("pid", "")
    if session.labels.get("host") == platform.node() and pid.isascii() and pid.isdigit():
        kernel = "alive" if records.process_runs(int(pid)) else "dead"
    state: State = "orphan" if kernel == "dead" else "active"
    return KnownSession(session.session_id, session.name, server, session, None, kernel, state)


def _began(known: KnownSession) -> tuple[str, str]:
    if known.session is not None:
        return known.session.created.ToJsonString(), known.session_id
    return known.record.created if known.record is not None else "", known.session_id
