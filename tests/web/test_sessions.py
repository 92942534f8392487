"""`GET skytorch/api/sessions`: the Computes and sessions of all kernels, and nothing that isn't so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jupyter_skytorch.compute import records
from jupyter_skytorch.compute.credentials import Credential
from jupyter_skytorch.compute.records import SessionRecord

if TYPE_CHECKING:
    from pathlib import Path

    from skytorch_wire.sessions_pb2 import CreateSessionResponse


def record_of(answer: CreateSessionResponse, address: str, **fields: Any) -> SessionRecord:
    """What a kernel (here: this process) writes down after it has connected."""
    record = SessionRecord(
        session_id=answer.session.session_id,
        name=answer.session.name,
        address=address,
        provider="local",
        boot_id=answer.boot_id,
        kernel_id=None,
        pid=os.getpid(),
        created=datetime.now(UTC).isoformat(),
        insecure=False,
        credential=Credential(),
    )
    return replace(record, **fields)


async def test_there_are_no_computes_before_anybody_connects(jupyter: Any) -> None:
    assert await jupyter.get("skytorch/api/sessions") == {"computes": []}


async def test_a_session_is_shown_with_its_server_and_its_notebook(jupyter: Any, torch_server: Any) -> None:
    body = json.dumps({"path": "train.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}})
    answer = await jupyter.fetch("api/sessions", method="POST", body=body)
    kernel_id = json.loads(answer.body)["kernel"]["id"]
    created = await torch_server.create_session("local")
    records.write(record_of(created, torch_server.address, kernel_id=kernel_id))

    (compute,) = (await jupyter.get("skytorch/api/sessions"))["computes"]

    assert (compute["name"], compute["provider"], compute["address"]) == ("local", "local", torch_server.address)
    assert compute["health"]["state"] == "serving"
    (session,) = compute["sessions"]
    assert session["state"] == "active"
    assert session["kernel"]["notebook"] == "train.ipynb"
    assert session["stats"]["operations"] == 0


async def test_a_session_whose_kernel_is_gone_is_an_orphan(jupyter: Any, torch_server: Any) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(timeout=30)
    created = await torch_server.create_session()
    records.write(record_of(created, torch_server.address, pid=ended.pid))

    (compute,) = (await jupyter.get("skytorch/api/sessions"))["computes"]

    (session,) = compute["sessions"]
    assert session["state"] == "orphan"
    assert "kernel is gone" in session["reason"]


async def test_a_session_that_its_server_does_not_have_is_lost(jupyter: Any, torch_server: Any) -> None:
    created = await torch_server.create_session()
    long_ago = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
    mine = record_of(created, torch_server.address, created=long_ago)
    records.write(replace(mine, session_id="never-was"))
    records.write(replace(mine, session_id="of-another-life", boot_id="an-earlier-one"))

    (compute,) = (await jupyter.get("skytorch/api/sessions"))["computes"]

    lost = {session["session_id"]: session for session in compute["sessions"] if session["state"] == "lost"}
    assert lost.keys() == {"never-was", "of-another-life"}
    assert "started anew" in lost["of-another-life"]["reason"]


async def test_a_session_of_another_machine_is_shown_too(jupyter: Any, torch_server: Any) -> None:
    mine = await torch_server.create_session("mine")
    await torch_server.create_session("elsewhere")
    records.write(record_of(mine, torch_server.address))

    (compute,) = (await jupyter.get("skytorch/api/sessions"))["computes"]

    assert {session["name"]: session["state"] for session in compute["sessions"]} == {
        "mine": "active",
        "elsewhere": "active",
    }


async def test_a_server_that_does_not_answer_is_unreachable(jupyter: Any, folder: Path, torch_server: Any) -> None:
    created = await torch_server.create_session()
    records.write(record_of(created, f"unix:{folder}/nobody.sock"))

    (compute,) = (await jupyter.get("skytorch/api/sessions"))["computes"]

    assert compute["health"]["state"] == "unreachable"
    assert compute["health"]["reason"] == "nothing answers at its address"
    assert compute["sessions"][0]["state"] == "unconfirmed"


async def test_a_file_that_is_no_record_is_passed_over(jupyter: Any, folder: Path) -> None:
    sessions = folder / "runtime/skytorch/sessions"
    sessions.mkdir(parents=True)
    (sessions / "half.json").write_text('{"version": 1, "session_id"')
    assert await jupyter.get("skytorch/api/sessions") == {"computes": []}
