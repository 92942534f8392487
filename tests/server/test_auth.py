"""Tokens, and what they let nobody else do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import metrics_pb2, service_pb2, sessions_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Client, Connect, ServerProcess, StartServer

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("token", ["", "wrong", "token-of-alic", "token-of-alice2", "alice:token-of-alice"])
def test_without_the_right_token_nothing_is_told(server: ServerProcess, connect: Connect, refused, token: str) -> None:
    stranger = connect(server.target, token)
    with refused(UNAUTHENTICATED, "token"):
        stranger.list()
    with refused(UNAUTHENTICATED, "token"):
        stranger.call(stranger.metrics.GetMetrics, metrics_pb2.GetMetricsRequest())
    with refused(UNAUTHENTICATED, "token"):
        next(
            stranger.torch.StreamOperations(iter([service_pb2.StreamRequest()]), metadata=stranger.metadata, timeout=10)
        )
    with refused(UNAUTHENTICATED, "token"):
        next(stranger.sessions.Watch(sessions_pb2.WatchSessionsRequest(), metadata=stranger.metadata, timeout=10))


def test_only_a_bearer_token_counts(server: ServerProcess, connect: Connect, refused) -> None:
    client = connect(server.target)
    client.metadata = (("authorization", "Basic token-of-alice"),)
    with refused(UNAUTHENTICATED, "token"):
        client.list()


def test_a_principal_neither_sees_nor_ends_anothers_session(alice: Client, bob: Client, refused) -> None:
    created = alice.create("mine")
    session_id = created.session.session_id
    assert created.session.principal == "alice"
    assert bob.list() == []
    not_found = grpc.StatusCode.NOT_FOUND
    with refused(not_found):
        bob.get(session_id)
    with refused(not_found):
        bob.close_session(session_id)
    with refused(not_found):
        bob.call(bob.sessions.KeepAlive, sessions_pb2.KeepAliveRequest(session_id=session_id))
    with refused(not_found):
        bob.call(bob.sessions.Cancel, sessions_pb2.CancelRequest(session_id=session_id, through_sequence=1))
    with refused(not_found):
        bob.call(bob.torch.DeleteTensors, service_pb2.DeleteTensorsRequest(session_id=session_id))
    # Not even with the secret, which only alice was told.
    with refused(not_found):
        bob.stream(created).response()
    assert [session.session_id for session in alice.list()] == [session_id]


def test_the_token_file_is_read_again_when_it_changes(
    start_server: StartServer, connect: Connect, tmp_path: Path, refused
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("first\n")
    tokens.chmod(0o600)
    server = start_server("--token-file", str(tokens))
    first = connect(server.target, "first")
    assert first.create().session.principal == "default"

    replacement = tmp_path / "new"
    replacement.write_text("carol:second\n")
    replacement.chmod(0o600)
    replacement.replace(tokens)
    with refused(UNAUTHENTICATED):
        first.list()
    carol = connect(server.target, "second")
    assert carol.list() == []

    tokens.write_text("carol:second\ncarol without a colon\n")
    assert carol.list() == []
    server.wait_for_log("line 2: expected principal:token; what was read before stays in force")
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "holds no token"),
        ("# nothing\n", "holds no token"),
        ("alice:one\nbob:one\n", "line 2: another principal has the same token"),
        ("alice:\nbob:one\n", "line 1: expected principal:token"),
        (None, "can't be read: No such file"),
    ],
)
def test_a_token_file_that_means_nothing_stops_the_start(
    start_server: StartServer, tmp_path: Path, content: str | None, complaint: str
) -> None:
    tokens = tmp_path / "tokens"
    if content is not None:
        tokens.write_text(content)
        tokens.chmod(0o600)
    server = start_server("--token-file", str(tokens))
    server.wait_for_log(f"^skytorch-server: .*{complaint}")
    assert server.process.wait(20) == 1
