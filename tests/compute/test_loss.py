"""A session that ends otherwise than by its kernel: noticed by itself, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from jupyter_skytorch.compute import connect
from jupyter_skytorch.device.errors import SessionLost
from skytorch_wire import sessions_pb2, sessions_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Server


def test_a_server_that_is_killed_is_named(
    runtime: Path, serve: Callable[..., Server], until: Callable[..., None]
) -> None:
    server = serve()
    compute = connect(server.address, name="remote")
    server.kill()
    until(lambda: compute.state == "lost", 5.0)
    assert server.address in compute.reason
    with pytest.raises(SessionLost, match="remote"):
        compute.sessions()


def test_the_same_name_connects_to_the_server_that_took_its_place(
    runtime: Path, serve: Callable[..., Server], until: Callable[..., None]
) -> None:
    server = serve()
    lost = connect(server.address, name="remote")
    server.kill()
    until(lambda: lost.state == "lost", 5.0)
    again = serve(port=int(server.address.rpartition(":")[2]))
    with connect("remote") as found:
        assert found.address == again.address
        assert found.boot_id != lost.boot_id
        assert found.status().round_trip_seconds is not None


def test_a_session_that_somebody_else_closes_says_so(
    runtime: Path, serve: Callable[..., Server], until: Callable[..., None]
) -> None:
    server = serve()
    compute = connect(server.address)
    with grpc.insecure_channel(server.address.removeprefix("grpc://")) as channel:
        stub = sessions_pb2_grpc.SessionsStub(channel)
        stub.Close(sessions_pb2.CloseSessionRequest(session_id=compute.session().id), timeout=10)
    until(lambda: compute.state == "lost", 5.0)
    assert "closed" in compute.reason


def test_a_lease_is_renewed_for_as_long_as_the_kernel_lives(
    runtime: Path, serve: Callable[..., Server], until: Callable[..., None]
) -> None:
    server = serve("--idle-timeout", "1")
    with connect(server.address) as compute:
        (first,) = compute.sessions()
        until(lambda: compute.sessions()[0].last_heartbeat.ToSeconds() >= first.created.ToSeconds() + 3)
        assert compute.state == "connected"
