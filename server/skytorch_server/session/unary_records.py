"""Typed messages of the unary calls, written as the records that the stream carries: there is one encoding of an op."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from skytorch_wire import service_pb2
from skytorch_wire.format import DTYPE_NUMBERS, ITEM_BYTES, Value
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_DIMS = 63
_MAX_SIZE = (1 << 63) - 1

# The stream numbers its devices from 0 upward, these calls from 255 downward.
_CPU_SLOT = 255
_MAX_CUDA_INDEX = 63


class RequestError(ValueError):
    """A message that can't be written as records; the message says why."""


def view_of(tensor: service_pb2.TensorRef) -> View:
    """A tensor as the records know it.

    Raises:
        RequestError: an unknown dtype, or sizes and strides that can't be.
    """
    dtype = _known_dtype(tensor.dtype)
    sizes, strides = list(tensor.sizes), list(tensor.strides)
    if len(sizes) > _MAX_DIMS:
        raise RequestError(f"a tensor has at most {_MAX_DIMS} dimensions, not {len(sizes)}")
    if strides and len(strides) != len(sizes):
        raise RequestError(f"{len(sizes)} sizes and {len(strides)} strides don't describe a tensor")
    if any(number < 0 for number in (*sizes, *strides, tensor.offset)):
        raise RequestError("sizes, strides and offsets are not negative")
    view = View(tensor.storage_id, dtype, sizes, strides or None, tensor.offset)
    if view.bytes > _MAX_SIZE:
        raise RequestError("the tensor's size overflows")
    return view


def view_message(view: View) -> service_pb2.TensorRef:
    """The other way round."""
    return service_pb2.TensorRef(
        storage_id=view.storage, dtype=view.dtype, sizes=view.sizes, strides=view.strides or (), offset=view.offset
    )


def ensure_records(view: View, device: str) -> bytes:
    """Allocates the tensor's storage on `device` ("" is "cpu") unless it exists."""
    slot, type_, index = _slot(device or "cpu")
    return Writer().define_device(slot, type_, index).ensure(view, slot).take()


def write_records(view: View, byte_offset: int, data: bytes) -> bytes:
    """Writes `data` at `byte_offset` bytes from where the tensor begins."""
    if byte_offset > _MAX_SIZE:
        raise RequestError("the byte offset overflows")
    start = view.offset * ITEM_BYTES[view.dtype]
    return Writer().write(view.storage, start + byte_offset, data).take()


def read_records(view: View) -> bytes:
    """Reads the tensor."""
    return Writer().read(view).take()


def copy_records(source: View, destination: View) -> bytes:
    """Copies a tensor into another."""
    values = [Writer().tensor(destination), Writer().tensor(source), Writer().byte(Value.FALSE)]
    return Writer().ask("aten::copy_", values, []).take()


def free_records(storages: Sequence[int]) -> bytes:
    """Frees storages."""
    records = Writer()
    for storage in storages:
        records.free(storage)
    return records.take()


def call_records(request: service_pb2.ExecuteAtenOperationRequest) -> bytes:
    """Calls an op, and asks what it returns.

    Raises:
        RequestError: the op is unknown, or an argument can't be.
    """
    name, _, overload = request.operation.partition(".")
    try:
        schema = torch._C._get_schema(name, overload)  # noqa: SLF001 - the public way goes by attribute access
    except RuntimeError as error:
        raise RequestError(f"torch here has no op {request.operation!r}") from error
    if len(request.arguments) > len(schema.arguments):
        raise RequestError(f"{request.operation} takes {len(schema.arguments)} arguments, not {len(request.arguments)}")
    if request.outputs and any("List[Tensor]" in str(returned.type) for returned in schema.returns):
        raise RequestError(f"{request.operation} returns a list of tensors, which only the stream can name")
    devices = Writer()
    values = [
        _value(argument, str(declared.type), devices)
        for argument, declared in zip(request.arguments, schema.arguments, strict=False)
    ]
    return devices.take() + Writer().ask(request.operation, values, request.outputs).take()


def _value(argument: service_pb2.Argument, declared: str, devices: Writer) -> Writer:
    """One argument of an op whose schema declares it as `declared`; `devices` gets the devices that it names."""
    out = Writer()
    match argument.WhichOneof("value"):
        case "tensor":
            out.tensor(view_of(argument.tensor))
        case "tensors":
            _tensors(argument.tensors, declared, out)
        case "integers" | "reals" | "booleans" as kind:
            _numbers(getattr(argument, kind).values, declared, out, kind)
        case "boolean" | "integer" | "real" as kind:
            _number(getattr(argument, kind), out)
        case "text":
            out.byte(Value.STRING).text(argument.text)
        case "dtype":
            _number(DTYPE_NUMBERS[_known_dtype(argument.dtype)], out)
        case "device":
            slot, type_, index = _slot(argument.device)
            devices.define_device(slot, type_, index)
            out.byte(Value.DEVICE).varint(slot)
        case _:
            out.byte(Value.NONE)
    return out


def _known_dtype(name: str) -> str:
    if name not in DTYPE_NUMBERS:
        raise RequestError(f"no dtype is called {name!r}")
    return name


def _number(number: float, out: Writer) -> None:
    if isinstance(number, bool):
        out.byte(Value.TRUE if number else Value.FALSE)
    elif isinstance(number, int):
        out.byte(Value.INT).zigzag(number)
    else:
        out.byte(Value.DOUBLE).real(number)


def _numbers(numbers: Sequence[float], declared: str, out: Writer, kind: str) -> None:
    # Numbers of any type travel with their types, of one type without.
    if "List[number]" in declared:
        out.byte(Value.SCALAR_LIST).varint(len(numbers))
        for number in numbers:
            _number(number, out)
        return
    tag, write = {
        "integers": (Value.INT_LIST, out.zigzag),
        "reals": (Value.DOUBLE_LIST, out.real),
        "booleans": (Value.BOOL_LIST, out.byte),
    }[kind]
    out.byte(tag).varint(len(numbers))
    for number in numbers:
        write(number)  # type: ignore[arg-type]


def _tensors(tensors: service_pb2.TensorList, declared: str, out: Writer) -> None:
    # A message can't tell a list of tensors from one in which some may be missing; the op's schema does.
    optional = "Optional[Tensor]" in declared and "List" in declared
    out.byte(Value.OPTIONAL_TENSOR_LIST if optional else Value.TENSOR_LIST).varint(len(tensors.tensors))
    for tensor in tensors.tensors:
        if optional and not tensor.storage_id:
            out.byte(Value.NONE)
        else:
            out.tensor(view_of(tensor))


def _slot(device: str) -> tuple[int, str, int]:
    """The slot, type and index of a device named as torch does."""
    type_, _, index = device.partition(":")
    if type_ == "cpu" and index in {"", "0"}:
        return _CPU_SLOT, "cpu", 0
    if type_ == "cuda" and (index or "0").isascii() and (index or "0").isdigit() and int(index or 0) <= _MAX_CUDA_INDEX:
        return _CPU_SLOT - 1 - int(index or 0), "cuda", int(index or 0)
    raise RequestError(f"no device is called {device!r}: there are cpu and cuda:N")
