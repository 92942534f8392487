"""A wrong address gets one line that says what is wrong with it, within 5 s."""

from __future__ import annotations

import socket
from concurrent import futures
from typing import TYPE_CHECKING

import grpc
import pytest

from jupyter_skytorch.compute import connect
from jupyter_skytorch.device.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Server

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(autouse=True)
def _own_folder(runtime: Path) -> None:
    """What is written goes to the test's folder."""


def refusal(target: str, **options: object) -> str:
    """What connect() says; within 5 s, which the 30 s of the test leave room to see."""
    with pytest.raises(ConnectError) as caught:
        connect(target, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def other_grpc_port() -> Iterator[int]:
    """A gRPC server that serves something else: nothing."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait(5.0)


def test_a_text_that_is_no_address() -> None:
    assert "did you mean 'grpc://localhost:50051'?" in refusal("localhost:50051")


def test_a_word_that_names_nothing() -> None:
    assert "did you mean 'local'?" in refusal("locla")


def test_a_provider_that_there_is_not() -> None:
    assert "did you mean 'address'?" in refusal("grpc://localhost:1", provider="adress")
    assert "does not go with" in refusal("grpc://localhost:1", provider="local")


def test_another_machine_in_the_clear() -> None:
    assert "insecure=True" in refusal("grpc://192.0.2.1:50051")


def test_a_host_that_there_is_not() -> None:
    assert "no host 'no-such-host.invalid'" in refusal("grpc://no-such-host.invalid:50051", insecure=True)


def test_a_port_where_nothing_listens(free_port: int) -> None:
    assert "nothing listens at grpc://127.0.0.1" in refusal(f"grpc://127.0.0.1:{free_port}")


def test_a_socket_that_there_is_not(tmp_path: Path) -> None:
    assert "nothing listens at unix:" in refusal(f"unix:{tmp_path}/none.sock")


def test_a_port_that_says_nothing(silent_port: int) -> None:
    assert "not a SkyTorch server" in refusal(f"grpc://127.0.0.1:{silent_port}")


def test_a_grpc_server_of_another_kind(other_grpc_port: int) -> None:
    assert "not a SkyTorch server" in refusal(f"grpc://127.0.0.1:{other_grpc_port}")


def test_a_missing_a_wrong_and_the_right_token(
    serve: Callable[..., Server], token_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve("--token-file", str(token_file))
    assert "needs a token" in refusal(server.address)
    (tmp_path / "wrong").write_text("battery-staple")
    said = refusal(server.address, token_file=tmp_path / "wrong")
    assert "refused the token" in said
    assert "battery-staple" not in said
    with connect(server.address, token_file=token_file) as compute:
        assert compute.sessions()[0].principal == "ada"
    monkeypatch.setenv("SKYTORCH_TOKEN", "correct-horse")
    with connect(server.address) as compute:
        assert compute.status().round_trip_seconds is not None


def test_another_version_of_the_protocol_names_both(other_version: Server) -> None:
    said = refusal(other_version.address)
    assert "version 1," in said
    assert "version 99" in said


def test_a_full_server(serve: Callable[..., Server]) -> None:
    server = serve("--max-sessions", "1")
    with connect(server.address):
        assert "limit of 1 session" in refusal(server.address, name="another")


def test_a_name_that_stands_for_another_server(serve: Callable[..., Server]) -> None:
    server = serve()
    with connect(server.address, name="mine") as compute:
        assert connect(server.address, name="mine") is compute
        assert connect("mine") is compute
        assert "stands for" in refusal("grpc://127.0.0.1:1", name="mine")
    assert "cannot be a name" in refusal(server.address, name="not a name")
