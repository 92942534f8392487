"""Frames that aren't records: nothing of them is executed, and the session goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire.format import Output, Record, Value
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from conftest import Client, Connect

INVALID = grpc.StatusCode.INVALID_ARGUMENT
ONES = View(1, "uint8", [4])
ADD = "aten::add_.Tensor"


def op(name: str, *arguments: bytes, outputs: bytes = b"\0") -> bytes:
    writer = Writer().byte(Record.OP).varint(0).text(name).varint(len(arguments))
    return writer.take() + b"".join(arguments) + outputs


HOME = Writer().byte(Value.TENSOR_HOME).varint(1).take()
DOUBLED = op(ADD, HOME, HOME)

# Each is one byte short of, or one byte past, something that would be a record.
MALFORMED = {
    "an unknown kind": b"\xff",
    "an unknown value": op(ADD, HOME, b"\x7f"),
    "a value that only graphs have": op(ADD, HOME, Writer().byte(Value.GRAPH_TENSOR).varint(0).take()),
    "a list longer than its frame": op(ADD, HOME, Writer().byte(Value.INT_LIST).varint(1 << 19).take()),
    "a view that overflows": Writer().byte(Record.READ).byte(Value.TENSOR_VIEW).varint(1).byte(0).byte(2).take()
    + Writer().varint(1 << 62).varint(1 << 62).take(),
    "a number of more than 64 bits": Writer().byte(Record.FREE).take() + b"\xff" * 10,
    "data longer than its frame": Writer().byte(Record.WRITE).varint(1).varint(0).varint(1 << 40).take(),
    "an unknown output": op("aten::add.Tensor", HOME, HOME, outputs=b"\x01\x09"),
    "a list of outputs in another": op(
        "aten::add.Tensor", HOME, HOME, outputs=b"\x01" + bytes([Output.LIST, 1]) * 2 + b"\0"
    ),
    "a graph with a storage in it": Writer()
    .byte(Record.DEFINE_GRAPH)
    .varint(1)
    .raw(b"\x00\x00\x00\x01\x00" + Writer().text(ADD).take() + b"\x01" + HOME + b"\x00\x00")
    .take(),
    "a graph that goes on": Writer().byte(Record.DEFINE_GRAPH).varint(1).raw(b"\x00\x00\x00\x00\x00\x00").take(),
    "an end in the middle": DOUBLED[:-1],
}


@pytest.fixture(params=[False, True], ids=["grpc", "local"])
def client(request: pytest.FixtureRequest, alice: Client, connect: Connect) -> Client:
    alice.local = request.param
    return alice


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED.keys())
def test_nothing_of_a_malformed_frame_is_executed(client: Client, refused, malformed: bytes) -> None:
    created = client.create()
    stream = client.stream(created)
    stream.response()
    stream.send(Writer().define_device(0, "cpu", 0).ensure(ONES, 0).write(1, 0, b"\x01\x02\x03\x04").take(), 3)
    stream.send(DOUBLED + malformed, 2)
    with refused(INVALID):
        list(stream.replies())
    again = client.stream(created, epoch=2)
    assert again.response().attached.executed == 3
    again.sequence = 3
    again.send(DOUBLED + Writer().read(ONES).take(), 2)
    assert next(again.replies()).data == b"\x02\x04\x06\x08"


def test_nesting_without_end_costs_the_stream_and_not_the_session(client: Client, refused) -> None:
    """Outputs may be lists, of outputs: each level would take some of the stack of who reads them."""
    created = client.create()
    stream = client.stream(created)
    stream.response()
    deep = op("aten::no_such_op", outputs=b"\x01" + bytes([Output.LIST, 1]) * 4_000_000 + b"\0")
    index = Writer().byte(Record.DEFINE_OP).varint(1).text("aten::no_such_op").take() + bytes(8)
    deep = index + Writer().byte(Record.OP).varint(1).varint(0).take() + deep[deep.index(b"\x01\x02\x01\x02") :]
    stream.send(deep, 2)
    with refused(INVALID):
        list(stream.replies())
    again = client.stream(created, epoch=2)
    assert again.response().attached.executed == 0
