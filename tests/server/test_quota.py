"""What one principal may have."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client, Connect, ServerProcess, StartServer

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def server(start_server: StartServer, tmp_path) -> Iterator[ServerProcess]:
    tokens = tmp_path / "tokens"
    tokens.write_text("alice:a\nbob:b sessions=1\ncarol:c memory=8MiB sessions=9\n")
    tokens.chmod(0o600)
    flags = ("--max-sessions-per-principal", "2", "--max-memory-per-principal", "1GiB")
    server = start_server("--token-file", str(tokens), *flags)
    yield server
    assert server.stop() == 0, "".join(server.log)


def test_a_principal_has_so_many_sessions(server: ServerProcess, connect: Connect, refused) -> None:
    alice, bob = connect(server.target, "a"), connect(server.target, "b")
    first = alice.create()
    alice.create()
    with refused(EXHAUSTED, r"alice has 2 of its 2 sessions: close .*%sky sessions.*--max-sessions-per-principal"):
        alice.create()
    bob.create()
    with refused(EXHAUSTED, "bob has 1 of its 1 sessions"):
        bob.create()
    alice.close_session(first.session.session_id)
    alice.create()


def test_sessions_asked_for_at_once_are_all_counted(server: ServerProcess, connect: Connect) -> None:
    codes: list[grpc.StatusCode] = []
    alice = connect(server.target, "a")

    def create() -> None:
        try:
            alice.create()
        except grpc.RpcError as error:
            codes.append(error.code())

    threads = [threading.Thread(target=create) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == [EXHAUSTED] * 3
    assert len(alice.list()) == 2


def fill(client: Client, size: int) -> str:
    """A session whose tensors take so many bytes."""
    created = client.create()
    stream = client.stream(created)
    view = View(1, "uint8", [size])
    stream.send(Writer().define_device(0, "cpu", 0).ensure(view, 0).write(1, 0, bytes(size)).read(view).take(), 4)
    next(stream.replies())
    return str(created.session.session_id)


def test_a_principal_has_so_much_memory(server: ServerProcess, connect: Connect, refused) -> None:
    carol = connect(server.target, "c")
    first = fill(carol, 5 << 20)
    fill(carol, 4 << 20)
    with refused(EXHAUSTED, r"carol has 9 MiB of its 8 MiB of memory: close .*memory= in the token file"):
        carol.create()
    carol.close_session(first)
    carol.create()
