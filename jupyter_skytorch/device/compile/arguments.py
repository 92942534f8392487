"""From the arguments of a graph's ops to values of the record format, by the types that the ops' schemas declare."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.fx import Node

from skytorch_wire.format import DTYPE_NUMBERS, Value
from skytorch_wire.graphs import number_value, tensor_value
from skytorch_wire.records import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Context", "UnsupportedError", "value"]

# As PyTorch numbers them.
_MEMORY_FORMATS = {
    torch.contiguous_format: 0,
    torch.preserve_format: 1,
    torch.channels_last: 2,
    torch.channels_last_3d: 3,
}
_SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)
_NUMBERS = (int, float, bool, *_SYMBOLIC)


class UnsupportedError(Exception):
    """A graph does something that can't be sent; the message says what."""


class Context(Protocol):
    """What a graph's arguments refer to."""

    def tensor(self, node: Node) -> int | None:
        """The index of a tensor among the graph's values; None when there is none."""

    def number(self, number: Any) -> int | float | bool | tuple[int]:
        """A number, or the one-tuple of its index among those that each run gives."""

    def slot(self, device: torch.device) -> int:
        """The number of a device on the wire."""


def value(given: Any, declared: Any, context: Context) -> Writer:
    """One argument of an op whose schema declares it as `declared`.

    Raises:
        UnsupportedError: it is nothing that travels.
    """
    if isinstance(given, Node) and isinstance(given.meta.get("val"), _NUMBERS):
        given = given.meta["val"]
    if given is None or (isinstance(given, Node) and context.tensor(given) is None):
        return Writer().byte(Value.NONE)
    kind = declared.kind()
    if kind == "OptionalType":
        return value(given, declared.getElementType(), context)
    if kind == "ListType":
        return _list(given, declared.getElementType(), context)
    if kind == "TensorType":
        return _tensor(given, context)
    return _scalar(given, context)


def _tensor(given: Any, context: Context) -> Writer:
    if isinstance(given, Node):
        index = context.tensor(given)
        return Writer().byte(Value.NONE) if index is None else tensor_value(index)
    number = context.number(given)
    if isinstance(number, tuple):
        return number_value(number[0])
    # A number where a tensor is declared: a tensor of no dimensions that gives way to other tensors' types.
    match number:
        case bool():
            dtype, data = "bool", struct.pack("<?", number)
        case int():
            dtype, data = "int64", struct.pack("<q", number)
        case float():
            dtype, data = "float64", struct.pack("<d", number)
        case _:
            raise UnsupportedError(f"a {type(given).__name__} is given")
    return Writer().byte(Value.HOST_TENSOR).byte(DTYPE_NUMBERS[dtype]).byte(0).byte(1).raw(data)


def _list(given: Sequence[Any], element: Any, context: Context) -> Writer:
    given = [item.meta["val"] if _is_number_node(item) else item for item in given]
    match element.kind():
        case "TensorType":
            return _joined(Value.TENSOR_LIST, [_tensor(item, context) for item in given])
        case "OptionalType":
            return _joined(Value.OPTIONAL_TENSOR_LIST, [value(item, element, context) for item in given])
        case "NumberType":
            return _joined(Value.SCALAR_LIST, [_constant(item) for item in given])
        case "IntType" if any(isinstance(item, _SYMBOLIC) for item in given):
            return _joined(Value.GRAPH_INT_LIST, [_scalar(item, context) for item in given])
        case "IntType" | "FloatType" | "BoolType" as kind:
            return _numbers(given, kind)
        case _:
            raise UnsupportedError(f"a list of {element}")


def _numbers(given: Sequence[Any], kind: str) -> Writer:
    if any(isinstance(item, _SYMBOLIC) for item in given):
        raise UnsupportedError("a list of numbers that change")
    tag = {"IntType": Value.INT_LIST, "FloatType": Value.DOUBLE_LIST, "BoolType": Value.BOOL_LIST}[kind]
    out = Writer().byte(tag).varint(len(given))
    for item in given:
        if kind == "IntType":
            out.zigzag(int(item))
        elif kind == "FloatType":
            out.real(float(item))
        else:
            out.byte(bool(item))
    return out


def _is_number_node(item: Any) -> bool:
    return isinstance(item, Node) and isinstance(item.meta.get("val"), _NUMBERS)


def _joined(tag: Value, items: Sequence[Writer]) -> Writer:
    out = Writer().byte(tag).varint(len(items))
    for item in items:
        out.data += item.data
    return out


def _scalar(given: Any, context: Context) -> Writer:
    if isinstance(given, _SYMBOLIC):
        number = context.number(given)
        return number_value(number[0]) if isinstance(number, tuple) else _constant(number)
    if isinstance(given, torch.device):
        return Writer().byte(Value.DEVICE).varint(context.slot(given))
    return _constant(given)


def _constant(given: Any) -> Writer:
    if isinstance(given, bool):
        return Writer().byte(Value.TRUE if given else Value.FALSE)
    if isinstance(given, int):
        return Writer().byte(Value.INT).zigzag(given)
    if isinstance(given, float):
        return Writer().byte(Value.DOUBLE).real(given)
    if isinstance(given, complex):
        return Writer().byte(Value.COMPLEX).real(given.real).real(given.imag)
    if isinstance(given, str):
        return Writer().byte(Value.STRING).text(given)
    if isinstance(given, torch.dtype):
        return Writer().byte(Value.INT).zigzag(DTYPE_NUMBERS[str(given).removeprefix("torch.")])
    if isinstance(given, torch.memory_format):
        return Writer().byte(Value.INT).zigzag(_MEMORY_FORMATS[given])
    if given is torch.strided:
        return Writer().byte(Value.INT).zigzag(0)
    raise UnsupportedError(f"a {type(given).__name__} is given")
