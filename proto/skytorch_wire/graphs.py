"""Definitions of graphs, as the record DEFINE_GRAPH carries them: written here, checked and decoded in C++."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from .format import Record, Value
from .records import Reader, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DROPPED", "KEPT", "Definition", "Node", "Runner", "kept_list", "number_value", "read", "tensor_value"]


class Runner(IntEnum):
    """How the server runs a graph."""

    LOOP = 0
    INDUCTOR = 1


#: What becomes of a value that an op returns.
DROPPED, KEPT = 0, 1


def kept_list(length: int) -> int:
    """A list of so many tensors is returned, and each of them becomes a value."""
    return length + 2


@dataclass
class Node:
    """One op of a graph: its number (or name), its arguments (a Writer of one value each), and what it returns."""

    op: int | str
    arguments: Sequence[Writer]
    results: Sequence[int]


@dataclass
class Definition:
    """A graph. Its values are its tensors, numbered from 0: the inputs, then what each op returns."""

    inputs: int
    numbers: int
    nodes: list[Node] = field(default_factory=list)
    outputs: Sequence[int] = ()
    runner: Runner = Runner.LOOP

    def data(self) -> bytes:
        """The definition's bytes."""
        out = Writer().byte(self.runner).varint(self.inputs).varint(self.numbers).varint(len(self.nodes))
        for node in self.nodes:
            if isinstance(node.op, str):
                out.varint(0).text(node.op)
            else:
                out.varint(node.op)
            out.varint(len(node.arguments))
            for argument in node.arguments:
                out.data += argument.data
            out.varint(len(node.results))
            for result in node.results:
                out.varint(result)
        out.varint(len(self.outputs))
        for output in self.outputs:
            out.varint(output)
        return out.take()

    def record(self, number: int) -> bytes:
        """The record that gives the graph this number."""
        return Writer().byte(Record.DEFINE_GRAPH).varint(number).raw(self.data()).take()


def read(data: bytes) -> list[Any]:
    """A definition, for people: [runner, inputs, numbers, ops, outputs]; an op: number or name, arguments, results."""
    reader = Reader(data)
    runner = Runner(reader.byte())
    inputs, numbers = reader.varint(), reader.varint()
    ops = [_op(reader) for _ in range(reader.varint())]
    return [runner, inputs, numbers, ops, [reader.varint() for _ in range(reader.varint())]]


def _op(reader: Reader) -> list[Any]:
    name = reader.varint() or reader.text()
    arguments = [reader.value() for _ in range(reader.varint())]
    return [name, arguments, [reader.varint() for _ in range(reader.varint())]]


def tensor_value(index: int) -> Writer:
    """An argument: the value with this index."""
    return Writer().byte(Value.GRAPH_TENSOR).varint(index)


def number_value(index: int) -> Writer:
    """An argument: a number that each run gives."""
    return Writer().byte(Value.GRAPH_NUMBER).varint(index)
