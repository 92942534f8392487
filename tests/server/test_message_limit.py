"""One gRPC message has a limit, which the server states; what is refused is told which one, and how it is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import service_pb2
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client, Connect, ServerProcess, StartServer

LIMIT = 3 << 20
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
SAID = rf"a message of \d+ bytes is more than this server's limit of {LIMIT} bytes for one \(--max-message-bytes\)"
TENSOR = service_pb2.TensorRef(storage_id=1, dtype="uint8", sizes=[LIMIT * 2], strides=[1])


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> Iterator[ServerProcess]:
    server = start_server("--max-message-bytes", "3MiB")
    yield server
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture(params=["the front", "the session's process"])
def client(request: pytest.FixtureRequest, server: ServerProcess, connect: Connect) -> Client:
    """Calls by gRPC, through the port or on the session's own socket; `created` is its session."""
    creator = connect(server.target)
    created = creator.create()
    client = creator if request.param == "the front" else connect(created.endpoints[0].address)
    client.created = created  # type: ignore[attr-defined]
    return client


def test_the_limit_is_stated(client: Client) -> None:
    assert client.created.capabilities.max_message_bytes == LIMIT
    assert client.stream(client.created).response().attached.capabilities.max_message_bytes == LIMIT


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT * 2 - 100])
def test_a_frame_over_it_is_refused_with_advice(client: Client, refused, size: int) -> None:
    stream = client.stream(client.created)
    stream.send(Writer().write(1, 0, bytes(size)).take(), 1)
    with refused(EXHAUSTED, SAID):
        list(stream.replies())


def test_a_message_over_it_is_refused_with_advice(client: Client, refused) -> None:
    def update(size: int) -> service_pb2.UpdateTensorResponse:
        request = service_pb2.UpdateTensorRequest(
            session_id=client.created.session.session_id, tensor=TENSOR, data=bytes(size)
        )
        return client.torch.UpdateTensor(iter([request]), metadata=client.metadata, timeout=60)

    assert update(LIMIT - 1000).bytes_written == LIMIT - 1000
    with refused(EXHAUSTED, SAID):
        update(LIMIT + 1000)
    # By gRPC itself, before anything is read.
    with refused(EXHAUSTED, rf"larger than max \(\d+ vs. {LIMIT * 2}\)"):
        update(LIMIT * 2 + 1000)
    assert update(10).bytes_written == 10


def test_what_is_larger_travels_in_several(client: Client) -> None:
    view, part = View(1, "uint8", [LIMIT * 4]), LIMIT // 2
    stream = client.stream(client.created)
    stream.send(Writer().define_device(0, "cpu", 0).ensure(view, 0).take(), 2)
    for start in range(0, view.bytes, part):
        stream.send(Writer().write(1, start, b"x" * part).take(), 1)
    stream.send(Writer().read(view).take(), 1)
    received = 0
    for reply in stream.replies():
        received += reply.data.count(b"x")
        if received == view.bytes:
            break
    assert received == view.bytes


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--max-message-bytes", "1MiB"), "a message may have from 2097152 to 1072693248 bytes, not 1MiB"),
        (("--max-message-bytes", "much"), "'much' is not a size in bytes"),
        (("--max-message-bytes", "2MiB", "--chunk-size", "2097152"), "at least twice --chunk-size"),
    ],
)
def test_a_limit_that_cannot_be(start_server: StartServer, flags: tuple[str, ...], complaint: str) -> None:
    server = start_server(*flags)
    server.wait_for_log(complaint)
    assert server.process.wait(20) == 2
