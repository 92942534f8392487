"""A session that is about to end is announced, and kept by a button."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import grpc.aio

from jupyter_skytorch.compute import records
from jupyter_skytorch.compute.credentials import Credential
from skytorch_wire import PROTOCOL_VERSION, service_pb2, sessions_pb2, sessions_pb2_grpc

from .test_sessions import record_of

PATIENCE = 60.0


def dead_pid() -> int:
    """The id that a process had."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait(timeout=30)
    return ended.pid


async def create(server: Any, **fields: Any) -> sessions_pb2.CreateSessionResponse:
    async with grpc.aio.insecure_channel(server.address) as channel:
        capabilities = service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION)
        request = sessions_pb2.CreateSessionRequest(name="local", capabilities=capabilities, **fields)
        return await sessions_pb2_grpc.SessionsStub(channel).Create(request, timeout=PATIENCE)


async def state(jupyter: Any) -> tuple[str, dict[str, Any]]:
    """The id of the only Compute, and its only session."""
    (compute,) = (await jupyter.get("skytorch/api/sessions"))["computes"]
    (session,) = compute["sessions"]
    return compute["id"], session


async def keep(jupyter: Any, compute: str, session_id: str, **options: Any) -> Any:
    path = f"skytorch/api/computes/{compute}/sessions/{session_id}/keep-alive"
    return await jupyter.fetch(path, method="POST", body="", **options)


async def test_the_orphan_of_a_dead_kernel_says_when_it_ends_and_is_kept(jupyter: Any, torch_server: Any) -> None:
    created = await create(torch_server, lease_seconds=90, memory_bytes=1 << 30)
    records.write(record_of(created, torch_server.address, pid=dead_pid()))
    compute, session = await state(jupyter)
    while session["expiry"]["seconds"] > 88:
        compute, session = await state(jupyter)
    assert session["state"] == "orphan"
    assert session["memory_bytes"] == 1 << 30
    assert (session["expiry"]["cause"], session["expiry"]["soon"]) == ("no heartbeat", False)

    answer = await keep(jupyter, compute, session["session_id"])

    assert answer.code == 200
    assert json.loads(answer.body) == {"seconds": 89, "cause": "no heartbeat", "soon": False}


async def test_a_living_kernels_session_has_an_end_only_when_it_is_near(jupyter: Any, torch_server: Any) -> None:
    created = await create(torch_server, max_age_seconds=6)
    records.write(record_of(created, torch_server.address))
    _, session = await state(jupyter)
    assert (session["state"], session["expiry"], session["memory_bytes"]) == ("active", None, None)
    while session["expiry"] is None:
        assert session["state"] == "active", session
        _, session = await state(jupyter)
    assert (session["expiry"]["cause"], session["expiry"]["soon"]) == ("maximum age", True)
    while session["state"] == "active":
        _, session = await state(jupyter)
    assert (session["state"], session["expiry"]) == ("ended", None)
    assert session["reason"] == "it reached its maximum age of 6 s"


async def test_what_can_not_be_kept_says_why(jupyter: Any, torch_server: Any) -> None:
    created = await create(torch_server)
    records.write(record_of(created, torch_server.address))
    compute, session = await state(jupyter)
    for place, session_id in (("0" * 12, session["session_id"]), (compute, "another")):
        answer = await keep(jupyter, place, session_id)
        assert answer.code == 404
        assert b"there is no" in answer.body.lower() or b"no such" in answer.body
    records.write(record_of(created, torch_server.address, credential=Credential("kernel-only")))
    compute, session = await state(jupyter)
    answer = await keep(jupyter, compute, session["session_id"])
    assert answer.code == 409
    assert b"Only the session's kernel" in answer.body


async def test_nobody_keeps_a_session_without_jupyters_token(jupyter: Any, torch_server: Any) -> None:
    created = await create(torch_server)
    records.write(record_of(created, torch_server.address))
    compute, session = await state(jupyter)
    assert (await keep(jupyter, compute, session["session_id"], token="")).code == 403
    assert (await keep(jupyter, compute, session["session_id"], token="a guess")).code == 403
    assert (await jupyter.fetch(f"skytorch/api/computes/{compute}/sessions/s/keep-alive")).code == 405
