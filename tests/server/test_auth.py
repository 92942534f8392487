"""Tokens, and what they let nobody else do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

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


def test_a_token_file_that_all_can_read_is_refused(start_server: StartServer, connect: Connect, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("first\n")
    tokens.chmod(0o644)
    refusing = start_server("--token-file", str(tokens))
    refusing.wait_for_log("^skytorch-server: every user of this machine can read or change .*tokens: chmod o-rw ")
    assert refusing.process.wait(20) == 1
    tokens.chmod(0o640)
    server = start_server("--token-file", str(tokens))
    client = connect(server.target, "first")
    assert client.list() == []
    # Opened to all while it is in use: what was read stays.
    tokens.write_text("second\n")
    tokens.chmod(0o604)
    assert client.list() == []
    server.wait_for_log("ERROR .*every user of this machine .* stays in force")
    assert server.stop() == 0


def test_a_principal_may_have_two_tokens_while_one_replaces_the_other(
    start_server: StartServer, connect: Connect, tmp_path: Path, refused
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("alice:old\nalice:new\n")
    tokens.chmod(0o600)
    server = start_server("--token-file", str(tokens))
    session_id = connect(server.target, "old").create().session.session_id
    assert connect(server.target, "new").get(session_id).principal == "alice"
    tokens.write_text("alice:new\n")
    with refused(UNAUTHENTICATED):
        connect(server.target, "old").list()
    assert connect(server.target, "new").get(session_id).principal == "alice"
    assert server.stop() == 0


def test_guessing_is_slowed_down_and_who_works_goes_on(
    start_server: StartServer, connect: Connect, tmp_path: Path, refused
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("alice:right\nbob:other\n")
    tokens.chmod(0o600)
    server = start_server("--token-file", str(tokens))
    alice, guesser = connect(server.target, "right"), connect(server.target)
    assert alice.list() == []
    codes = []
    for number in range(200):
        guesser.metadata = (("authorization", f"Bearer guess-{number}"),)
        with pytest.raises(grpc.RpcError) as caught:
            guesser.list()
        codes.append(caught.value.code())
    assert codes[0] is UNAUTHENTICATED
    assert codes[-1] is grpc.StatusCode.RESOURCE_EXHAUSTED
    # Not even a right token helps whoever guesses there, but one that was used there before does.
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls with a wrong token came from 127.0.0.1"):
        connect(server.target, "other").list()
    assert alice.list() == []
    server.wait_for_log("WARNING .*a wrong token from 127.0.0.1 for /skytorch.server.Sessions/List")
    assert server.stop() == 0
    assert "guess-" not in "".join(server.log)


def test_reflection_needs_a_token_and_unknown_methods_tell_strangers_nothing(
    server: ServerProcess, connect: Connect, alice: Client, refused
) -> None:
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    listing = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    stranger = connect(server.target)
    for method in (reflection, "/skytorch.server.Sessions/Nothing", "/no.Service/Nothing"):
        with refused(UNAUTHENTICATED, "token"):
            next(stranger.channel.stream_stream(method)(iter([listing]), timeout=60))
    answer = next(alice.channel.stream_stream(reflection)(iter([listing]), metadata=alice.metadata, timeout=60))
    assert b"skytorch.server.Sessions" in answer
    with refused(grpc.StatusCode.UNIMPLEMENTED, "no method /no.Service/Nothing"):
        next(alice.channel.stream_stream("/no.Service/Nothing")(iter([b""]), metadata=alice.metadata, timeout=60))


def test_what_is_no_message_of_the_call_is_malformed(alice: Client, refused) -> None:
    for method in ("Sessions/Create", "Sessions/Get", "Metrics/GetMetrics"):
        call = alice.channel.unary_unary(f"/skytorch.server.{method}")
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "not a message of"):
            call(b"\xff\xff\xff", metadata=alice.metadata, timeout=60)
        empty = alice.channel.stream_stream(f"/skytorch.server.{method}")
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "no message"):
            next(empty(iter([]), metadata=alice.metadata, timeout=60))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "holds no token"),
        ("# nothing\n", "holds no token"),
        ("alice:one\nbob:one\n", "line 2: another principal has the same token"),
        ("alice:\nbob:one\n", "line 1: expected principal:token"),
        ("alice:one sessions=some\n", "line 1: expected sessions=NUMBER or memory=SIZE after the token"),
        ("alice:one memory=much\n", "line 1: 'much' is not a size in bytes"),
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
