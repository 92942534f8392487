"""The audit log."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from skytorch_wire import PROTOCOL_VERSION, service_pb2, sessions_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Connect, StartServer

TOKENS = "alice:right-horse\nbob:other-horse\n"


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_says_who_did_what(start_server: StartServer, connect: Connect, tmp_path: Path, refused, until) -> None:
    tokens, log = tmp_path / "tokens", tmp_path / "audit.jsonl"
    tokens.write_text(TOKENS)
    tokens.chmod(0o600)
    server = start_server("--token-file", str(tokens), "--audit-log", str(log))
    alice = connect(server.target, "right-horse")
    created = alice.create("train")
    session_id = created.session.session_id
    alice.stream(created).response()
    with pytest.raises(Exception, match="secret"):
        alice.stream(created, attach_secret=b"guess").response()
    capabilities = service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION)
    take_over = sessions_pb2.TakeOverRequest(session_id=session_id, name="again", capabilities=capabilities)
    alice.call(alice.sessions.TakeOver, take_over)
    alice.close_session(session_id)
    expiring = alice.create(lease_seconds=1.0).session.session_id
    with pytest.raises(Exception, match="token"):
        connect(server.target, "wrong-horse").list()
    until(lambda: events(log)[-1]["event"] == "expired", "the session expires")

    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    told = {(event["event"], event.get("session", "")): event for event in events(log)}
    assert list(told) == [
        ("created", session_id),
        ("attached", session_id),
        ("attach refused", session_id),
        ("taken over", session_id),
        ("closed", session_id),
        ("created", expiring),
        ("refused", ""),
        ("expired", expiring),
    ]
    begun = told["created", session_id]
    assert (begun["principal"], begun["peer"], begun["name"]) == ("alice", "127.0.0.1", "train")
    assert begun["request"]
    assert begun["time"].endswith("+00:00")
    assert told["closed", session_id]["peer"] == "127.0.0.1"
    refusal = told["refused", ""]
    assert (refusal["method"], refusal["result"]) == ("/skytorch.server.Sessions/List", "a wrong token")
    # What happens by itself is nobody's doing, although it began in a call.
    assert "peer" not in told["expired", expiring]
    assert (told["expired", expiring]["principal"], told["expired", expiring]["result"]) == (
        "alice",
        "no heartbeat for 1 s",
    )
    assert server.stop() == 0
    for text in (log.read_text(), "".join(server.log)):
        assert "horse" not in text
        assert created.attach_secret.hex() not in text


def test_a_log_that_was_moved_away_is_begun_anew(start_server: StartServer, connect: Connect, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.touch(0o644)
    server = start_server("--audit-log", str(log))
    client = connect(server.target)
    first = client.create().session.session_id
    log.rename(tmp_path / "audit.jsonl.1")
    second = client.create().session.session_id
    assert [event["session"] for event in events(tmp_path / "audit.jsonl.1")] == [first]
    assert [event["session"] for event in events(log)] == [second]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("audit*")} == {0o600}
    assert server.stop() == 0


def test_one_that_cannot_be_written_stops_the_start(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--audit-log", str(tmp_path / "none" / "audit.jsonl"))
    server.wait_for_log("^skytorch-server: .*No such file or directory: .*audit.jsonl")
    assert server.process.wait(20) == 1
