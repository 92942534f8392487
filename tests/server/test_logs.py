"""The log as JSON, and the ids by which its lines are found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from skytorch_wire import sessions_pb2

if TYPE_CHECKING:
    from conftest import Client, Connect, StartServer


def request_id(client: Client, *metadata: tuple[str, str]) -> str:
    """What a call's answer says that its id is."""
    _, call = client.sessions.List.with_call(
        sessions_pb2.ListSessionsRequest(), metadata=(*client.metadata, *metadata), timeout=60
    )
    return dict(call.trailing_metadata())["x-request-id"]


def test_each_call_has_an_id_its_own_or_a_new_one(alice: Client) -> None:
    assert request_id(alice, ("x-request-id", "cell-7/train")) == "cell-7/train"
    made = request_id(alice)
    assert len(made) == 16
    assert made != request_id(alice)
    for unfit in ("x" * 65, 'a"b', "a b"):
        assert request_id(alice, ("x-request-id", unfit)) != unfit


def test_a_refused_call_has_one_too(alice: Client) -> None:
    with pytest.raises(Exception, match="no session") as caught:
        alice.sessions.Get(
            sessions_pb2.GetSessionRequest(session_id="none"),
            metadata=(*alice.metadata, ("x-request-id", "mine")),
            timeout=60,
        )
    assert dict(caught.value.trailing_metadata())["x-request-id"] == "mine"


def test_lines_are_objects_that_name_session_and_request(start_server: StartServer, connect: Connect, tmp_path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("alice:right-horse\n")
    tokens.chmod(0o600)
    server = start_server("--token-file", str(tokens), "--log-format", "json")
    alice = connect(server.target, "right-horse")
    alice.metadata += (("x-request-id", "mine"),)
    created = alice.create("train")
    stream = alice.stream(created)
    stream.response()
    # A newer one takes over, which the session's own process tells.
    alice.stream(created, epoch=2).response()
    session_id = created.session.session_id
    with pytest.raises(Exception, match="token"):
        connect(server.target, "wrong-horse").list()
    server.wait_for_log("a newer stream has taken over")
    alice.close_session(session_id)
    server.wait_for_log("closed by its owner")
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    (begun,) = [line for line in lines if "process" in line["message"] and line.get("session")]
    assert (begun["session"], begun["request"], begun["principal"]) == (session_id, "mine", "alice")
    taken = next(line for line in lines if "taken over" in line["message"])
    assert taken["session"] == session_id
    assert taken["logger"].startswith("skytorch_server.session")
    wrong = next(line for line in lines if "wrong token" in line["message"])
    assert (wrong["level"], wrong["peer"]) == ("WARNING", "127.0.0.1")
    assert "horse" not in "".join(server.log)
