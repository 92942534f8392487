"""How much a server says that it is used."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import service_pb2, sessions_pb2

CAPABILITIES = service_pb2.Capabilities(protocol_version=1)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client, Connect, ServerProcess, StartServer


@pytest.fixture(scope="module")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that nobody else uses, in the place of the one for all tests: alice is on it, too."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text("alice:token-of-alice\noperator:token-of-operator\n")
    tokens.chmod(0o600)
    server = start_server("--host", "127.0.0.1", "--token-file", str(tokens))
    yield server
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture
def operator(server: ServerProcess, connect: Connect) -> Client:
    return connect(server.target, "token-of-operator")


def activity(client: Client) -> sessions_pb2.ActivityResponse:
    return client.call(client.sessions.Activity, sessions_pb2.ActivityRequest())


def last(client: Client) -> float:
    return activity(client).last_activity.ToNanoseconds() / 1e9


def test_a_server_that_nobody_used_counts_from_its_start(operator: Client) -> None:
    first = activity(operator)
    assert 0 < first.last_activity.ToNanoseconds() / 1e9 <= time.time()
    assert (first.sessions, first.orphans) == (0, 0)
    assert activity(operator) == first


def test_each_use_is_seen_by_whoever_may_call_and_looking_is_none(alice: Client, operator: Client) -> None:
    times = [last(operator)]
    session_id = alice.create().session.session_id
    times.append(last(operator))
    assert activity(operator).sessions == 1
    alice.call(alice.sessions.KeepAlive, sessions_pb2.KeepAliveRequest(session_id=session_id))
    times.append(last(operator))
    alice.call(
        alice.sessions.TakeOver,
        sessions_pb2.TakeOverRequest(session_id=session_id, capabilities=CAPABILITIES),
    )
    times.append(last(operator))
    alice.list()
    alice.get(session_id)
    assert last(operator) == times[-1]
    alice.close_session(session_id)
    times.append(last(operator))
    assert activity(operator).sessions == 0
    assert times == sorted(set(times))


def test_a_session_whose_kernel_is_silent_is_an_orphan_until_it_is_heard_of(alice: Client, until) -> None:
    session = alice.create(lease_seconds=4).session
    alice.create()
    heard = last(alice)
    assert activity(alice).orphans == 0
    until(lambda: activity(alice).orphans == 1, "the session counts as an orphan")
    assert activity(alice).sessions == 2
    assert last(alice) == heard
    alice.call(alice.sessions.KeepAlive, sessions_pb2.KeepAliveRequest(session_id=session.session_id))
    assert activity(alice).orphans == 0
    assert last(alice) > heard


def test_an_end_that_nobody_asked_for_is_no_use(alice: Client, until) -> None:
    alice.create(max_age_seconds=0.5)
    heard = last(alice)
    until(lambda: activity(alice).sessions == 0, "the session is over")
    assert last(alice) == heard


def test_a_call_without_a_kernel_is_use_as_long_as_it_lasts(alice: Client, until) -> None:
    tensor = service_pb2.TensorRef(storage_id=1, dtype="float32", sizes=[1], strides=[1])
    # Waits for a record that never comes.
    call = alice.torch.GetTensor(
        service_pb2.GetTensorRequest(tensor=tensor, after_sequence=10), metadata=alice.metadata, timeout=60
    )
    until(lambda: activity(alice).sessions == 1, "the call has its session")
    times = [last(alice), last(alice)]
    call.cancel()
    until(lambda: last(alice) == last(alice), "nobody uses the server")
    assert times[0] < times[1]


def test_a_stranger_is_told_nothing(server: ServerProcess, connect: Connect, refused) -> None:
    with refused(grpc.StatusCode.UNAUTHENTICATED):
        activity(connect(server.target, "no-token-of-theirs"))
