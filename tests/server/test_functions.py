"""Functions and parcels on the wire: what a good one gives, and what a bad one costs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import torch

from skytorch_wire import payload, pickling
from skytorch_wire.features import PYTHON_VERSION
from skytorch_wire.format import DTYPE_NUMBERS, ErrorKind, Record
from skytorch_wire.records import View, Writer
from skytorch_wire.replies import DataReply, ErrorReply, OutputReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Client, Connect, LocalStream, StartServer, Stream

INVALID = grpc.StatusCode.INVALID_ARGUMENT
CPU = Writer().define_device(0, "cpu", 0).take()
HOME = View(7, "float32", [4])


def call(function: Callable[..., Any], *args: Any) -> bytes:
    pickle = pickling.dumps((function, args, {}), lambda _thing: None)
    return payload.joined([memoryview(json.dumps({}).encode()), *pickle])


def run(function: Callable[..., Any], *args: Any, parts: int = 1) -> bytes:
    """Two records for a call in one part."""
    data = call(function, *args)
    out, step = Writer(), len(data) // parts + 1
    for at in range(0, len(data), step):
        out.function_part(at, data[at : at + step])
    return out.function(0, [], len(data)).take()


def make() -> list[torch.Tensor]:
    tensor = torch.arange(4.0)
    return [tensor, tensor[1:], torch.ones(2)]


@pytest.fixture(params=["grpc", "local"])
def stream(alice: Client, request: pytest.FixtureRequest) -> Stream | LocalStream:
    alice.local = request.param == "local"
    alice.created = alice.create()
    stream = alice.stream(alice.created)
    stream.response()
    stream.send(CPU, 1)
    return stream


def answer(stream: Stream | LocalStream) -> tuple[Any, list[list[memoryview]], str]:
    """What a function gave, and what it wrote before."""
    data, written = b"", ""
    for reply in stream.replies():
        if isinstance(reply, OutputReply):
            assert not data
            written += f"{reply.stream}{reply.data.decode()}"
        else:
            assert isinstance(reply, DataReply), reply
            data += reply.data
            if len(data) == reply.total:
                break
    head, *pickle = payload.split([data])
    return json.loads(b"".join(head)), pickle, written


def test_a_parcel_is_adopted_slot_by_slot(stream: Stream | LocalStream, alice: Client, until: Any) -> None:
    def talk() -> list[torch.Tensor]:
        sys.stdout.write("made\n")
        return make()

    stream.send(run(talk, parts=3), 4)
    parcel = stream.sequence
    head, _, written = answer(stream)
    assert head["slots"] == [["cpu", 0, 16, "float32", [4]], ["cpu", 0, 8, "float32", [2]]]
    assert written == "1made\n"
    stream.send(Writer().adopt(parcel, 0, HOME).read(HOME).drop_parcel(parcel).take(), 3)
    reply = next(stream.replies())
    assert torch.frombuffer(bytearray(reply.data), dtype=torch.float32).tolist() == [0, 1, 2, 3]
    until(lambda: alice.get(alice.created.session.session_id).stats.storages == 1, "only what was adopted is there")


def test_a_function_s_failure_is_told_as_a_result(stream: Stream | LocalStream) -> None:
    def fail() -> None:
        raise KeyError("nothing")

    stream.send(run(fail), 2)
    head, _, _ = answer(stream)
    assert head["error"]["type"] == "KeyError"
    assert "raise KeyError" not in head["error"]["message"]
    # What isn't a call at all is told so, too.
    stream.send(Writer().function_part(0, b"nonsense").function(0, [], 8).take(), 2)
    head, _, _ = answer(stream)
    assert head["error"]["type"] == "MalformedError"


PARCEL = 3


def adopt(parcel: int, slot: int, home: View = HOME) -> bytes:
    return Writer().adopt(parcel, slot, home).take()


BAD = {
    "an unknown parcel": (adopt(2, 0), 1, "no parcel 2"),
    "an unknown slot": (adopt(PARCEL, 2), 1, "nothing in slot 2"),
    "a slot twice": (adopt(PARCEL, 0) + adopt(PARCEL, 0, View(8, "float32", [4])), 2, "nothing in slot 0"),
    "a number in use": (adopt(PARCEL, 0) + adopt(PARCEL, 1), 2, "storage 7 exists already"),
    "a home that is too large": (adopt(PARCEL, 0, View(7, "float32", [5])), 1, "past the end"),
    "a home before the start": (
        Writer().byte(Record.ADOPT).varint(PARCEL).varint(0).varint(7).byte(DTYPE_NUMBERS["float32"]).take()
        + b"\x41\x04"
        + b"\xff" * 9
        + b"\x01",
        1,
        "is 18446744073709551615, more than",
    ),
    "a parcel dropped twice": (Writer().drop_parcel(PARCEL).drop_parcel(PARCEL).take(), 2, "no parcel 3"),
    "a slot of a dropped parcel": (Writer().drop_parcel(PARCEL).take() + adopt(PARCEL, 0), 2, "no parcel 3"),
    "an unknown storage": (Writer().function_part(0, b"x").function(0, [9], 1).take(), 2, "storage 9 is not"),
    "a storage twice": (
        adopt(PARCEL, 0) + Writer().function_part(0, b"x").function(0, [7, 7], 1).take(),
        3,
        "names storage 7 twice",
    ),
    "an unknown device": (Writer().function_part(0, b"x").function(1, [], 1).take(), 2, "slot 1 was never defined"),
    "another size": (Writer().function_part(0, b"x").function(0, [], 2).take(), 2, "has 1 bytes, not 2"),
    "no call": (Writer().function(0, [], 0).take(), 1, "has 0 bytes, not 0"),
    "a call twice": (
        Writer().function_part(0, b"x").function(0, [], 1).function(0, [], 1).take(),
        3,
        "has 0 bytes, not 1",
    ),
    "a gap": (Writer().function_part(0, b"x").function_part(2, b"x").take(), 2, "came for byte 2 where 1 was due"),
    "an empty part": (Writer().function_part(0, b"").take(), 1, "is empty"),
    "a cut part": (Writer().function_part(0, b"xyz").take()[:-1], 1, "longer than its frame"),
    "more storages than bytes": (
        Writer().byte(Record.FUNCTION).varint(0).varint(1 << 19).take(),
        1,
        "longer than its frame",
    ),
}


@pytest.mark.parametrize(("records", "count", "words"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_ends_the_call(
    stream: Stream | LocalStream, records: bytes, count: int, words: str, refused: Any
) -> None:
    stream.send(run(make), 2)
    assert stream.sequence == PARCEL
    answer(stream)
    stream.send(records, count)
    with refused(INVALID, words):
        list(stream.replies())


def test_another_part_that_begins_at_zero_begins_another_call(stream: Stream | LocalStream) -> None:
    stream.send(Writer().function_part(0, b"given up").take() + run(lambda: 5), 3)
    head, pickle, _ = answer(stream)
    assert "error" not in head
    assert pickling.loads(pickle, lambda _name: None) == 5


def test_a_server_without_functions_says_so(start_server: StartServer, connect: Connect) -> None:
    for flags, environment in ((["--no-functions"], {}), ([], {"SKYTORCH_NO_FUNCTIONS": "1"})):
        server = start_server(*flags, **environment)
        client = connect(server.target)
        created = client.create()
        assert "functions" not in created.capabilities.features
        assert created.capabilities.python_version == PYTHON_VERSION
        stream = client.stream(created)
        stream.response()
        stream.send(CPU + run(make), 3)
        reply = next(stream.replies())
        assert isinstance(reply, ErrorReply)
        assert (reply.kind, reply.answers) == (ErrorKind.NOT_IMPLEMENTED, 3)
        assert "--no-functions" in reply.message
        # Its parcel is there, and empty: the client needn't know how it ended to drop it.
        stream.send(Writer().drop_parcel(3).byte(Record.SYNC).take(), 2)
        assert next(stream.replies()).sequence == 5
        server.stop()


def test_a_call_is_bounded_by_the_session_s_memory(start_server: StartServer, connect: Connect) -> None:
    server = start_server("--session-memory", "8MiB")
    client = connect(server.target)
    stream = client.stream(client.create())
    stream.response()
    part = bytes(1 << 20)
    stream.send(CPU, 1)
    for i in range(9):
        stream.send(Writer().function_part(i * len(part), part).take(), 1)
    stream.send(Writer().function(0, [], 9 * len(part)).take(), 1)
    reply = next(stream.replies())
    assert isinstance(reply, ErrorReply)
    assert reply.kind is ErrorKind.OUT_OF_MEMORY
    assert f"a function's call of {9 * len(part)} bytes is over" in reply.message
    stream.send(run(lambda: 5), 2)
    head, pickle, _ = answer(stream)
    assert "error" not in head
    assert pickling.loads(pickle, lambda _name: None) == 5
    server.stop()
