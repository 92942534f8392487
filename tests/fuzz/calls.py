"""Every call of a running server, with messages that nobody should send, beside a session that must not notice.

The calls are found by the server's own reflection, so that new ones join by themselves.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2  # noqa: F401  (known to the pool from here on)
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from skytorch_wire import PROTOCOL_VERSION, metrics_pb2, service_pb2, sessions_pb2, sessions_pb2_grpc  # noqa: F401
from tests.faults.traces import until

from .fuzzed import fuzzed, held
from .messages import Messages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.descriptor import MethodDescriptor

AT_A_TIME = 32
_CALL_SECONDS = 3.0
_SETTLE_SECONDS = 30.0
_ANSWERS = 3
"""Of a call that goes on by itself; then it is cancelled."""
_MESSAGES = (1, 1, 1, 2, 4)
_EACH_SESSION = 0.01
"""How many of the calls may begin a session, which is a process."""

#: What a client may be told. Not UNKNOWN, which is an exception that nobody meant.
CLEAN = {
    grpc.StatusCode.OK,
    grpc.StatusCode.CANCELLED,  # by us
    grpc.StatusCode.DEADLINE_EXCEEDED,  # ours: of calls that go on, or were told to wait for a record that never comes
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.ALREADY_EXISTS,
}
OPS = "add.Tensor add_.Tensor cat index.Tensor mm sum.dim_IntList view as_strided zeros_like topk from_file no_such_op"


@dataclass
class Told:
    """How the calls ended."""

    codes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    unclean: Counter[str] = field(default_factory=Counter)
    calls: int = 0

    def note(self, method: str, code: grpc.StatusCode, details: str) -> None:
        """One call's end."""
        self.calls += 1
        self.codes[method][code.name] += 1
        # gRPC's own words, on this end, for a call that was answered before its messages were sent.
        unsent = code is grpc.StatusCode.INTERNAL and details == "Internal error from Core"
        # Another call may close the session meanwhile.
        closed = code is grpc.StatusCode.UNAVAILABLE and details.endswith("closed by its owner")
        if code not in CLEAN and not unsent and not closed:
            self.unclean[f"{method}: {code.name}: {details[:200]}"] += 1

    def __str__(self) -> str:
        lines = [f"{self.calls} calls of {len(self.codes)} methods"]
        lines += [
            f"  {method}: {', '.join(f'{code} {n}' for code, n in codes.most_common())}"
            for method, codes in sorted(self.codes.items())
        ]
        return "\n".join(lines)


#: The principals whose sessions come and go here.
FUZZED = ("alice", "carol")


class Caller:
    """Calls a server's methods as two principals and as a stranger."""

    def __init__(self, place: str, tokens: dict[str, str], seed: int) -> None:
        self.place = place
        self._tokens = tokens
        self._random = random.Random(seed)
        self._seed = seed
        self.told = Told()
        self._reviving = asyncio.Lock()

    async def run(self, calls: int) -> Told:
        """Calls so often."""
        self._reviving = asyncio.Lock()
        async with grpc.aio.insecure_channel(self.place, options=[("grpc.max_receive_message_length", -1)]) as channel:
            methods = await self._methods(channel)
            known = await self._known(channel)
            messages = Messages(self._seed, known)
            left = iter(range(calls))

            async def call_on() -> None:
                for _ in left:
                    method = self._random.choice(methods)
                    if method.name == "Create" and self._random.random() > _EACH_SESSION * len(methods):
                        continue
                    await self._call(channel, method, messages, known)

            await asyncio.gather(*(call_on() for _ in range(AT_A_TIME)))
            await self._close_all(channel)
        return self.told

    async def _methods(self, channel: grpc.aio.Channel) -> list[MethodDescriptor]:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), metadata=self._as("alice")
        )
        answer = await asked.read()
        pool = descriptor_pool.Default()
        services = [pool.FindServiceByName(service.name) for service in answer.list_services_response.service]
        return [method for service in services for method in service.methods]

    async def _known(self, channel: grpc.aio.Channel) -> dict[str, list[Any]]:
        stub = sessions_pb2_grpc.SessionsStub(channel)
        await self._close_all(channel)
        capabilities = service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION)
        request = sessions_pb2.CreateSessionRequest(name="fuzzed", capabilities=capabilities)
        created = [await stub.Create(request, metadata=self._as(who)) for who in FUZZED]
        return {
            "capabilities": [],
            "session_id": ["", "no such session", *(each.session.session_id for each in created)],
            "attach_secret": [each.attach_secret for each in created] + [b"", b"guess"],
            "boot_id": ["", created[0].boot_id],
            "protocol_version": [PROTOCOL_VERSION, PROTOCOL_VERSION, 0],
            "storage_id": [1, 2, 3, 1 << 40],
            "storage_ids": [1, 2, 3],
            "outputs": [1, 2, 3, 4],
            "dtype": ["float32", "int64", "no such dtype"],
            "sizes": [0, 1, 2, 3, -1, 1 << 40, 1 << 62],
            "strides": [0, 1, 2, -1, 1 << 62],
            "operation": [f"aten::{name}" for name in OPS.split()],
            "device": ["cpu", "", "cuda:0", "no such device"],
            "after_sequence": [0],
            "interval_seconds": [0.0, 0.1, -1.0, float("nan"), float("inf")],
        }

    def _as(self, who: str) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._tokens[who]}"),) if who in self._tokens else ()

    async def _call(
        self, channel: grpc.aio.Channel, method: MethodDescriptor, messages: Messages, known: dict[str, list[Any]]
    ) -> None:
        sent = [messages.serialized(method.input_type) for _ in range(self._random.choice(_MESSAGES))]
        if not method.client_streaming:
            sent = sent[:1]
        who = self._random.choice(("alice", "alice", "alice", "carol", "mallory"))
        call = channel.stream_stream(f"/{method.containing_service.full_name}/{method.name}")(
            _each(sent), metadata=self._as(who), timeout=_CALL_SECONDS
        )
        answers = 0
        try:
            while (answer := await call.read()) is not grpc.aio.EOF:
                answers += 1
                if method.name == "Create":
                    created = sessions_pb2.CreateSessionResponse.FromString(answer)
                    await self._close(channel, created.session.session_id, who)
                if answers == _ANSWERS or method.name == "Watch":
                    call.cancel()
        except (grpc.aio.AioRpcError, asyncio.CancelledError, asyncio.InvalidStateError):
            pass
        self.told.note(f"{method.containing_service.name}.{method.name}", await call.code(), await call.details() or "")
        if method.name == "Close":
            await self._revive(channel, known)

    async def _close_all(self, channel: grpc.aio.Channel) -> None:
        stub = sessions_pb2_grpc.SessionsStub(channel)
        for who in FUZZED:
            listed = await stub.List(sessions_pb2.ListSessionsRequest(), metadata=self._as(who))
            for session in listed.sessions:
                await self._close(channel, session.session_id, who)

    async def _close(self, channel: grpc.aio.Channel, session_id: str, who: str) -> None:
        request = sessions_pb2.CloseSessionRequest(session_id=session_id)
        with suppress(grpc.aio.AioRpcError):  # another call may have closed it
            await sessions_pb2_grpc.SessionsStub(channel).Close(request, metadata=self._as(who))

    async def _revive(self, channel: grpc.aio.Channel, known: dict[str, list[Any]]) -> None:
        """A session that the fuzzer has closed is followed by another."""
        async with self._reviving:
            stub = sessions_pb2_grpc.SessionsStub(channel)
            alive: set[str] = set()
            for who in FUZZED:
                listed = await stub.List(sessions_pb2.ListSessionsRequest(), metadata=self._as(who))
                alive |= {session.session_id for session in listed.sessions}
            if not alive.issuperset(known["session_id"][2:]):
                known.update(await self._known(channel))


async def _each(sent: list[bytes]) -> AsyncIterator[bytes]:
    for message in sent:
        yield message


def beside_a_bystander(calls: int, seed: int) -> tuple[str, list[str]]:
    """So many calls of a server of their own; what came of them, and what was wrong."""
    with fuzzed() as (place, server, problems):
        caller = Caller(place, {"alice": "of-alice", "carol": "of-carol", "mallory": "of-nobody"}, seed)
        asyncio.run(caller.run(max(calls // 10, 1)))
        before = held(server)
        told = asyncio.run(caller.run(calls))
        until(lambda: held(server).descriptors <= before.descriptors, _SETTLE_SECONDS)
        after = held(server)
        if after.descriptors > before.descriptors:
            problems.append(f"the server has {after.descriptors} descriptors open, and had {before.descriptors}")
        problems += [f"{count} times {what}" for what, count in told.unclean.most_common()]
    return f"{told}\n  the server's front: {before} -> {after}", problems
