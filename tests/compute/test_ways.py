"""Which way a session's stream takes."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
import torch

from jupyter_skytorch.compute import connect
from jupyter_skytorch.compute.channel import Address
from jupyter_skytorch.compute.endpoint import ways
from jupyter_skytorch.session import Way
from skytorch_wire import sessions_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Server

HERE = Address.parse("grpc://127.0.0.1:50051")
THERE = Address.parse("grpc://gpu.example:50051")
TUNNEL = sessions_pb2.Endpoint(tunnel="0123abcd")
NONCE = b"0123456789abcdef"


@pytest.fixture
def direct(tmp_path: Path) -> sessions_pb2.Endpoint:
    path = tmp_path / "nonce"
    path.write_bytes(NONCE)
    return sessions_pb2.Endpoint(address="unix:/run/s", local_socket="/run/l", nonce_path=str(path), nonce=NONCE)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("front", [HERE, THERE], ids=str)
def test_on_one_machine_it_is_the_process_itself_whatever_the_address(
    direct: sessions_pb2.Endpoint, front: Address
) -> None:
    assert ways([direct, TUNNEL], front) == [Way("/run/l", local=True)]


def test_elsewhere_it_is_a_tunnel_and_else_the_front(direct: sessions_pb2.Endpoint) -> None:
    direct.nonce = b"fedcba9876543210"
    assert ways([direct, TUNNEL], HERE) == [
        Way("0123abcd", door=("127.0.0.1", 50051)),
        Way("127.0.0.1:50051", here=True),
    ]
    assert ways([direct, TUNNEL], THERE) == [
        Way("0123abcd", door=("gpu.example", 50051), far=True),
        Way("gpu.example:50051", far=True),
    ]


@pytest.mark.parametrize("tunnel", ["", "a b", "a\r\nHost: b", "../front", "unix:/run/s", "a" * 65])
def test_what_is_no_name_of_a_tunnel_is_passed_over(tunnel: str) -> None:
    assert ways([sessions_pb2.Endpoint(tunnel=tunnel)], HERE) == [Way(HERE.target, here=True)]


def test_the_user_s_own_proxy_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert ways([TUNNEL], THERE) == [Way(THERE.target, far=True)]
    assert ways([TUNNEL], HERE)[0].door


class Ingress:
    """What stands before a server and takes HTTP/2 only: it answers everything else in its own way."""

    def __init__(self, server: str, answer: bytes) -> None:
        self._server = server
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"grpc://127.0.0.1:{self._listener.getsockname()[1]}"
        self.refused = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._enter, args=(connection,), daemon=True).start()

    def _enter(self, connection: socket.socket) -> None:
        head = connection.recv(4096)
        if head.startswith(b"CONNECT"):
            self.refused += 1
            connection.sendall(self._answer)
            connection.close()
            return
        host, _, port = self._server.rpartition(":")
        inner = socket.create_connection((host, int(port)))
        inner.sendall(head)
        back = threading.Thread(target=pass_on, args=(inner, connection), daemon=True)
        back.start()
        pass_on(connection, inner)
        back.join()
        connection.close()
        inner.close()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture(params=[b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n", b""], ids=["405", "hung up"])
def ingress(request: pytest.FixtureRequest, runtime: Path, serve: Callable[..., Server]) -> Iterator[Ingress]:
    ingress = Ingress(serve("--no-direct").address.removeprefix("grpc://"), request.param)
    yield ingress
    ingress.close()


def test_where_no_tunnel_is_allowed_the_front_relays(ingress: Ingress) -> None:
    with connect(ingress.address) as compute:
        assert not compute.session().way.door
        assert ingress.refused
        x = torch.ones(4, device=compute.device("cpu"))
        assert (x + 1).tolist() == [2.0] * 4


def test_a_port_alone_is_enough(runtime: Path, serve: Callable[..., Server]) -> None:
    server = serve("--no-direct")
    with connect(server.address) as compute:
        assert compute.session().way.door == ("127.0.0.1", int(server.address.rpartition(":")[2]))
        x = torch.arange(1_000_000, device=compute.device("cpu"))
        assert torch.equal((x + 1).cpu(), torch.arange(1, 1_000_001))
