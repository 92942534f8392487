"""Graphs on the wire: what a good one gives, and what a bad one costs."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire.format import ErrorKind, Output, Record, Value
from skytorch_wire.graphs import DROPPED, KEPT, Definition, Node, Runner, kept_list, number_value, read, tensor_value
from skytorch_wire.records import View, Writer
from skytorch_wire.replies import ErrorReply

if TYPE_CHECKING:
    from conftest import Client, ServerProcess, Stream

INVALID = grpc.StatusCode.INVALID_ARGUMENT
CPU = Writer().define_device(0, "cpu", 0).take()
ONE = Writer().byte(Value.INT).zigzag(1)
FLOATS = View(1, "float32", [4])


@pytest.fixture
def stream(alice: Client) -> Stream:
    alice.created = alice.create()
    stream = alice.stream(alice.created)
    stream.response()
    return stream


def twice_and_split() -> Definition:
    """(x + number) + x, and the halves of that; the first of them comes out beside the whole."""
    return Definition(
        inputs=1,
        numbers=1,
        nodes=[
            Node("aten::add.Scalar", [tensor_value(0), number_value(0)], [KEPT]),
            Node("aten::add.Tensor", [tensor_value(1), tensor_value(0)], [KEPT]),
            Node("aten::split.Tensor", [tensor_value(2), Writer().byte(Value.INT).zigzag(2)], [kept_list(2)]),
        ],
        outputs=[2, 3],
    )


def run(number: int, inputs: list[View], numbers: list[int], outputs: list[View]) -> bytes:
    out = Writer().byte(Record.RUN_GRAPH).varint(number).varint(len(inputs) + len(numbers))
    for view in inputs:
        out.tensor(view)
    for integer in numbers:
        out.byte(Value.INT).zigzag(integer)
    out.varint(len(outputs))
    for view in outputs:
        out.byte(Output.TENSOR).varint(view.storage).layout(view)
    return out.take()


def floats(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def test_a_definition_is_read_as_it_was_written() -> None:
    assert read(twice_and_split().data()) == [
        Runner.LOOP,
        1,
        1,
        [
            ["aten::add.Scalar", [("tensor", 0), ("number", 0)], [KEPT]],
            ["aten::add.Tensor", [("tensor", 1), ("tensor", 0)], [KEPT]],
            ["aten::split.Tensor", [("tensor", 2), 2], [kept_list(2)]],
        ],
        [2, 3],
    ]


def test_a_graph_is_defined_once_and_run_often(stream: Stream) -> None:
    whole, half = View(2, "float32", [4]), View(3, "float32", [2])
    records = CPU + Writer().ensure(FLOATS, 0).write(1, 0, floats(1, 2, 3, 4)).take() + twice_and_split().record(7)
    count = 4
    for number in (10, 20):
        records += run(7, [FLOATS], [number], [whole, half])
        records += Writer().read(whole).read(half).free(2).free(3).take()
        count += 5
    stream.send(records, count)
    replies = stream.replies()
    for number in (10, 20):
        assert next(replies).data == floats(*(number + 2 * n for n in (1, 2, 3, 4)))
        assert next(replies).data == floats(number + 2, number + 4)


def test_results_share_memory_with_nothing(stream: Stream) -> None:
    same = Definition(1, 0, [Node("aten::alias", [tensor_value(0)], [KEPT])], [0, 1, 0])
    outputs = [View(number, "float32", [4]) for number in (2, 3, 4)]
    records = CPU + Writer().ensure(FLOATS, 0).write(1, 0, floats(1, 2, 3, 4)).take() + same.record(1)
    records += run(1, [FLOATS], [], outputs) + Writer().write(1, 0, bytes(16)).write(2, 0, floats(5, 5, 5, 5)).take()
    for view in outputs:
        records += Writer().read(view).take()
    stream.send(records, 10)
    replies = stream.replies()
    assert next(replies).data == floats(5, 5, 5, 5)
    assert next(replies).data == next(replies).data == floats(1, 2, 3, 4)


def test_an_op_that_fails_is_named_and_poisons_what_the_graph_writes(stream: Stream) -> None:
    writes = Definition(
        2,
        0,
        [
            Node("aten::mm", [tensor_value(0), tensor_value(0)], [KEPT]),
            Node("aten::copy_", [tensor_value(1), tensor_value(2), Writer().byte(Value.FALSE)], [DROPPED]),
        ],
        [2],
    )
    other = View(2, "float32", [4])
    records = CPU + Writer().ensure(FLOATS, 0).ensure(other, 0).take() + writes.record(1)
    records += run(1, [FLOATS, other], [], [View(3, "float32", [4])])
    records += Writer().read(View(3, "float32", [4])).read(other).read(FLOATS).take()
    stream.send(records, 8)
    replies = stream.replies()
    told = [next(replies) for _ in range(4)]
    assert all(isinstance(reply, ErrorReply) and reply.operation == "aten::mm" for reply in told[:3])
    assert [reply.answers for reply in told[:3]] == [0, 6, 7]
    assert told[3].sequence == 8
    assert len(told[3].data) == 16


def test_an_op_that_the_server_has_otherwise_is_refused_when_the_graph_runs(stream: Stream) -> None:
    define = Writer().byte(Record.DEFINE_OP).varint(9).text("aten::relu")
    define.data += bytes(8)  # another schema's hash
    graph = Definition(1, 0, [Node(9, [tensor_value(0)], [KEPT])], [1])
    records = CPU + define.take() + Writer().ensure(FLOATS, 0).take() + graph.record(1)
    records += run(1, [FLOATS], [], [View(2, "float32", [4])])
    stream.send(records, 5)
    told = next(stream.replies())
    assert (told.kind, told.origin) == (ErrorKind.NOT_IMPLEMENTED, 5)
    assert "aten::relu has another schema" in told.message


def test_a_graph_may_be_compiled_by_the_server(server: ServerProcess, stream: Stream) -> None:
    graph = twice_and_split()
    graph.numbers, graph.runner = 0, Runner.INDUCTOR
    graph.nodes[0] = Node("aten::add.Scalar", [tensor_value(0), ONE], [KEPT])
    whole, half, small = View(2, "float32", [4]), View(3, "float32", [2]), View(4, "float32", [3])
    records = CPU + Writer().ensure(FLOATS, 0).write(1, 0, floats(1, 2, 3, 4)).take() + graph.record(7)
    again = run(7, [FLOATS], [], [whole, half]) + Writer().read(whole).read(half).free(2).free(3).take()
    stream.send(records + again, 9)
    replies = stream.replies()
    expected = [floats(3, 5, 7, 9), floats(3, 5)]
    assert [next(replies).data, next(replies).data] == expected
    # It is compiled meanwhile; then it gives the same, and shares memory with nothing. Other sizes are for the loop.
    server.wait_for_log("a graph is compiled")
    stream.send(again + Writer().read(FLOATS).take(), 6)
    assert [next(replies).data, next(replies).data, next(replies).data] == [*expected, floats(1, 2, 3, 4)]
    other = View(1, "float32", [3])
    tail = View(5, "float32", [2])
    stream.send(run(7, [other], [], [small, tail]) + Writer().read(small).take(), 2)
    assert next(replies).data == floats(3, 5, 7)


def test_a_graph_that_cannot_be_compiled_runs_all_the_same(server: ServerProcess, stream: Stream) -> None:
    # How large its result is depends on data, which a compiler has none of.
    graph = Definition(1, 0, [Node("aten::nonzero", [tensor_value(0)], [KEPT])], [1], Runner.INDUCTOR)
    records = CPU + Writer().ensure(FLOATS, 0).write(1, 0, floats(0, 2, 0, 4)).take() + graph.record(1)
    once = run(1, [FLOATS], [], [View(2, "int64", [2, 1])]) + Writer().read(View(2, "int64", [2, 1])).free(2).take()
    stream.send(records + once, 7)
    replies = stream.replies()
    assert next(replies).data == struct.pack("<2q", 1, 3)
    server.wait_for_log("a graph can't be compiled here")
    stream.send(once, 3)
    assert next(replies).data == struct.pack("<2q", 1, 3)


def relu(*arguments: Writer, results: list[int] | None = None) -> list[Node]:
    return [Node("aten::relu", arguments, [KEPT] if results is None else results)]


MALFORMED = {
    "unknown op": Definition(1, 0, [Node("aten::no_such_op", [tensor_value(0)], [KEPT])], [1]),
    "op that opens files": Definition(0, 0, [Node("aten::from_file", [Writer().byte(15).text("/etc/passwd")], [KEPT])]),
    "op of nobody": Definition(1, 0, [Node(4000, [tensor_value(0)], [KEPT])], [1]),
    "op that isn't aten's": Definition(1, 0, [Node("prims::add", [tensor_value(0)], [KEPT])], [1]),
    "out= op": Definition(2, 0, [Node("aten::relu.out", [tensor_value(0), tensor_value(1)], [KEPT])], [1]),
    "value before it is there": Definition(1, 0, relu(tensor_value(1)), [1]),
    "number of nobody": Definition(1, 0, [Node("aten::add.Scalar", [tensor_value(0), number_value(0)], [KEPT])], [1]),
    "number for a list": Definition(1, 1, [Node("aten::view", [tensor_value(0), number_value(0)], [KEPT])], [1]),
    "tensor for a number": Definition(1, 0, [Node("aten::add.Scalar", [tensor_value(0), tensor_value(0)], [KEPT])]),
    "storage of the session's": Definition(1, 0, relu(Writer().tensor(FLOATS)), [1]),
    "storages in a list": Definition(
        0, 0, [Node("aten::cat", [Writer().byte(Value.TENSOR_LIST).varint(1).tensor(FLOATS), ONE], [KEPT])]
    ),
    "too many arguments": Definition(1, 0, relu(tensor_value(0), ONE), [1]),
    "too few arguments": Definition(1, 0, relu(), [1]),
    "no results": Definition(1, 0, relu(tensor_value(0), results=[])),
    "two results": Definition(1, 0, relu(tensor_value(0), results=[KEPT, KEPT])),
    "list of results": Definition(1, 0, relu(tensor_value(0), results=[kept_list(3)])),
    "endless results": Definition(1, 0, [Node("aten::split.Tensor", [tensor_value(0), ONE], [kept_list(1 << 40)])]),
    "endless inputs": Definition(1 << 40, 0),
    "endless numbers": Definition(0, 1 << 40),
    "result of nobody": Definition(1, 0, relu(tensor_value(0)), [2]),
}
RECORDS = {
    **{name: definition.record(1) for name, definition in MALFORMED.items()},
    "truncated": Writer().byte(Record.DEFINE_GRAPH).varint(1).raw(twice_and_split().data()[:-3]).take(),
    "more than a definition": Writer().byte(Record.DEFINE_GRAPH).varint(1).raw(twice_and_split().data() + b"x").take(),
    "endless": Writer().byte(Record.DEFINE_GRAPH).varint(1).varint(1 << 40).take(),
    "endless ops": Writer().byte(Record.DEFINE_GRAPH).varint(1).raw(b"\0\0\0\xff\xff\xff\x7f").take(),
    "unknown runner": Writer().byte(Record.DEFINE_GRAPH).varint(1).raw(b"\x09" + twice_and_split().data()[1:]).take(),
    "number out of bounds": twice_and_split().record(1 << 20),
    "number twice": twice_and_split().record(1) * 2,
    "run by nobody": run(3, [], [], []),
    "run without its inputs": twice_and_split().record(1) + run(1, [], [], []),
    "run with too much": CPU
    + Writer().ensure(FLOATS, 0).take()
    + twice_and_split().record(1)
    + run(1, [FLOATS, FLOATS], [1], []),
    "run for too much": CPU
    + Writer().ensure(FLOATS, 0).take()
    + Definition(1, 0, relu(tensor_value(0)), [1]).record(1)
    + run(1, [FLOATS], [], [View(5, "float32", [4]), View(6, "float32", [4])]),
    "freed by nobody": Writer().byte(Record.FREE_GRAPH).varint(5).take(),
    "graph's value outside of one": CPU + Writer().ask("aten::relu", [tensor_value(0)], []).take(),
}


@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
def test_a_malformed_graph_costs_its_sender_that_stream_only(alice: Client, stream, refused, records) -> None:
    with refused(INVALID):
        stream.send(records, 1)
        list(stream.replies())
    again = alice.stream(alice.created, epoch=2)
    executed = again.response().attached.executed
    view = View(9, "float32", [2])
    records = CPU + Writer().ensure(view, 0).write(9, 0, floats(-1, 1)).take()
    records += Definition(1, 0, relu(tensor_value(0)), [1]).record(2)
    records += run(2, [view], [], [View(10, "float32", [2])]) + Writer().read(View(10, "float32", [2])).take()
    again.send(records, 6, first=executed + 1)
    assert next(again.replies()).data == floats(0, 1)
