"""The record format for Python: a writer for what isn't the hot path, and a reader for people and tests.

The format itself is told in ``include/skytorch_wire/format.h`` and docs/protocol.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

from .format import DTYPE_NUMBERS, DTYPES, ITEM_BYTES, Memory, Output, Record, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class MalformedError(ValueError):
    """Bytes that are not records or replies."""


@dataclass(frozen=True)
class View:
    """A view of a storage; sizes, strides and offset in elements of `dtype`. No strides: contiguous.

    Its values are the conjugates or the negatives of what lies there, where it says so.
    """

    storage: int
    dtype: str
    sizes: Sequence[int]
    strides: Sequence[int] | None = None
    offset: int = 0
    conjugate: bool = False
    negative: bool = False

    @property
    def bytes(self) -> int:
        """The size of a storage that holds just this view."""
        strides = self.strides if self.strides is not None else contiguous_strides(self.sizes)
        if 0 in self.sizes:
            return 0
        last = self.offset + sum((n - 1) * step for n, step in zip(self.sizes, strides, strict=True))
        return (last + 1) * ITEM_BYTES[self.dtype]


def contiguous_strides(sizes: Sequence[int]) -> list[int]:
    """Strides, in elements, of a contiguous tensor of these sizes."""
    return [prod(max(n, 1) for n in sizes[i + 1 :]) for i in range(len(sizes))]


@dataclass
class Writer:
    """Builds records. Every method adds one record or value and returns the writer."""

    data: bytearray = field(default_factory=bytearray)

    def byte(self, value: int) -> Writer:
        """One byte: a tag."""
        self.data.append(value)
        return self

    def varint(self, value: int) -> Writer:
        """A non-negative number of at most 64 bits."""
        if not 0 <= value < 1 << 64:
            msg = f"{value} is not a number of 64 bits"
            raise ValueError(msg)
        while value >= 0x80:  # noqa: PLR2004
            self.data.append(value & 0x7F | 0x80)
            value >>= 7
        self.data.append(value)
        return self

    def zigzag(self, value: int) -> Writer:
        """A signed number of at most 64 bits."""
        return self.varint((value << 1) ^ (value >> 63))

    def raw(self, value: bytes | memoryview) -> Writer:
        """A length and bytes."""
        self.varint(len(value))
        self.data += value
        return self

    def text(self, value: str) -> Writer:
        """A length and UTF-8."""
        return self.raw(value.encode())

    def real(self, value: float) -> Writer:
        """Eight bytes."""
        self.data += struct.pack("<d", value)
        return self

    def layout(self, view: View) -> Writer:
        """The dtype, sizes, strides and offset of a view."""
        contiguous = view.strides is None or list(view.strides) == contiguous_strides(view.sizes)
        self.byte(DTYPE_NUMBERS[view.dtype] | 0x40 * view.conjugate | 0x80 * view.negative)
        self.byte(len(view.sizes) | (0 if contiguous else 0x40) | (0x80 if view.offset else 0))
        if view.offset:
            self.varint(view.offset)
        for size in view.sizes:
            self.varint(size)
        if not contiguous:
            for stride in view.strides or ():
                self.varint(stride)
        return self

    def tensor(self, view: View) -> Writer:
        """A tensor as an argument."""
        return self.byte(Value.TENSOR_VIEW).varint(view.storage).layout(view)

    def define_device(self, slot: int, kind: str, index: int) -> Writer:
        """Names the device ``kind:index``."""
        return self.byte(Record.DEFINE_DEVICE).varint(slot).text(kind).varint(index)

    def ensure(self, view: View, slot: int) -> Writer:
        """Allocates the view's storage on a device unless it exists."""
        return self.byte(Record.ENSURE).varint(view.storage).varint(slot).varint(view.bytes).layout(view)

    def write(self, storage: int, offset: int, data: bytes) -> Writer:
        """Writes bytes into a storage."""
        return self.byte(Record.WRITE).varint(storage).varint(offset).raw(data)

    def read(self, view: View) -> Writer:
        """Asks for a view's elements, contiguous."""
        return self.byte(Record.READ).tensor(view)

    def free(self, storage: int) -> Writer:
        """Frees a storage."""
        return self.byte(Record.FREE).varint(storage)

    def setting(self, name: str, values: Sequence[bool | int | str]) -> Writer:
        """Calls the setter of a torch setting."""
        self.byte(Record.SETTING).text(name).varint(len(values))
        for value in values:
            if isinstance(value, str):
                self.byte(Value.STRING).text(value)
            elif isinstance(value, bool):
                self.byte(Value.TRUE if value else Value.FALSE)
            else:
                self.byte(Value.INT).zigzag(value)
        return self

    def memory(self, slot: int, asked: Memory) -> Writer:
        """Asks something of a device's memory."""
        return self.byte(Record.MEMORY).varint(slot).byte(asked)

    def clock(self) -> Writer:
        """Asks for the server's clock."""
        return self.byte(Record.CLOCK)

    def profile(self, events: int) -> Writer:
        """Times what follows, and keeps so many single times; 0: no longer."""
        return self.byte(Record.PROFILE).varint(events)

    def profiled(self) -> Writer:
        """Asks for what was timed: see :mod:`skytorch_wire.profile`."""
        return self.byte(Record.PROFILED)

    def adopt(self, parcel: int, slot: int, home: View) -> Writer:
        """Gives what a parcel's slot holds the number of `home`'s storage."""
        return self.byte(Record.ADOPT).varint(parcel).varint(slot).varint(home.storage).layout(home)

    def drop_parcel(self, parcel: int) -> Writer:
        """Lets go of what is left of a parcel."""
        return self.byte(Record.DROP_PARCEL).varint(parcel)

    def function_part(self, offset: int, data: bytes | memoryview) -> Writer:
        """A part of the next function's call; offset 0 begins another one."""
        return self.byte(Record.FUNCTION_PART).varint(offset).raw(data)

    def function(self, slot: int, storages: Sequence[int], size: int) -> Writer:
        """Runs the function whose call, of `size` bytes, came in parts. `storages`: those that the call names."""
        self.byte(Record.FUNCTION).varint(slot).varint(len(storages))
        for storage in storages:
            self.varint(storage)
        return self.varint(size)

    def expect(self, ticket: int, slot: int, size: int, seconds: int, secret: bytes) -> Writer:
        """Has memory ready for what another server sends within so many seconds by a ticket."""
        self.byte(Record.EXPECT).varint(ticket).varint(slot).varint(size).varint(seconds)
        self.data += secret
        return self

    def send(self, ticket: int, secret: bytes, destination: bytes, view: View) -> Writer:
        """Sends a view's elements, contiguous, to the session that expects them; replied with what became of it."""
        self.byte(Record.SEND).varint(ticket)
        self.data += secret
        return self.raw(destination).tensor(view)

    def receive(self, ticket: int) -> Writer:
        """Leaves a parcel with what came by a ticket."""
        return self.byte(Record.RECEIVE).varint(ticket)

    def withdraw(self, ticket: int) -> Writer:
        """Expects nothing by a ticket any more."""
        return self.byte(Record.WITHDRAW).varint(ticket)

    def ask(self, operation: str, arguments: Sequence[Writer], outputs: Sequence[int]) -> Writer:
        """Calls an op by name; the reply tells what it returned. `arguments` are writers of one value each."""
        self.byte(Record.ASK).varint(0).text(operation).varint(len(arguments))
        for argument in arguments:
            self.data += argument.data
        self.varint(len(outputs))
        for storage in outputs:
            self.byte(Output.ASKED).varint(storage)
        return self

    def take(self) -> bytes:
        """The records."""
        return bytes(self.data)


class Reader:
    """Takes values from records or replies. Every method raises MalformedError when the bytes don't hold it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at(self) -> int:
        """How many bytes are read."""
        return self._at

    def done(self) -> bool:
        """Whether everything is read."""
        return self._at == len(self._data)

    def byte(self) -> int:
        """One byte."""
        return self._take(1)[0]

    def varint(self) -> int:
        """A non-negative number."""
        value = 0
        for shift in range(0, 64, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004
                return value
        msg = "a number has more than 64 bits"
        raise MalformedError(msg)

    def zigzag(self) -> int:
        """A signed number."""
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def raw(self) -> bytes:
        """A length and bytes."""
        return self._take(self.varint())

    def text(self) -> str:
        """A length and UTF-8."""
        return self.raw().decode(errors="replace")

    def real(self) -> float:
        """Eight bytes."""
        value: float = struct.unpack("<d", self._take(8))[0]
        return value

    def layout(self, storage: int = 0) -> View:
        """A layout, as a view of `storage`."""
        first = self.byte()
        number = first & 0x3F
        flags = self.byte()
        offset = self.varint() if flags & 0x80 else 0
        sizes = [self.varint() for _ in range(flags & 0x3F)]
        strides = [self.varint() for _ in sizes] if flags & 0x40 else None
        if number not in DTYPES:
            msg = f"dtype {number} is unknown"
            raise MalformedError(msg)
        return View(storage, DTYPES[number], sizes, strides, offset, bool(first & 0x40), bool(first & 0x80))

    def value(self) -> Any:
        """An argument, as the Python value nearest to it."""
        tag = self.enum(Value)
        simple = {Value.NONE: None, Value.FALSE: False, Value.TRUE: True}
        if tag in simple:
            return simple[tag]
        read: dict[Value, Callable[[], Any]] = {
            Value.TENSOR_HOME: lambda: ("home", self.varint()),
            Value.TENSOR_VIEW: lambda: self.layout(self.varint()),
            Value.TENSOR_NEW: self._new,
            Value.INT: self.zigzag,
            Value.DOUBLE: self.real,
            Value.COMPLEX: lambda: complex(self.real(), self.real()),
            Value.INT_LIST: lambda: [self.zigzag() for _ in range(self.varint())],
            Value.BOOL_LIST: lambda: [bool(self.byte()) for _ in range(self.varint())],
            Value.DOUBLE_LIST: lambda: [self.real() for _ in range(self.varint())],
            Value.DEVICE: lambda: ("device", self.varint()),
            Value.HOST_TENSOR: lambda: ("host", self.layout(), bool(self.byte()), self.raw()),
            Value.STRING: self.text,
            Value.GENERATOR: lambda: ("generator", self.varint(), self.varint()),
            Value.GRAPH_TENSOR: lambda: ("tensor", self.varint()),
            Value.GRAPH_NUMBER: lambda: ("number", self.varint()),
        }
        if tag in read:
            return read[tag]()
        return [self.value() for _ in range(self.varint())]

    def output(self) -> Any:
        """Where a result goes: None, a view, a storage, or a list of these."""
        tag = self.enum(Output)
        if tag is Output.SKIP:
            return None
        if tag is Output.LIST:
            return [self.output() for _ in range(self.varint())]
        storage = self.varint()
        return self.layout(storage) if tag is Output.TENSOR else storage

    def _new(self) -> tuple[str, int, int, View]:
        storage, slot, size = self.varint(), self.varint(), self.varint()
        return ("new", slot, size, self.layout(storage))

    def enum(self, kind: type[Any]) -> Any:
        """A tag."""
        number = self.byte()
        try:
            return kind(number)
        except ValueError:
            msg = f"{number} is no {kind.__name__}"
            raise MalformedError(msg) from None

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            msg = "the bytes end inside a record"
            raise MalformedError(msg)
        self._at += size
        return self._data[self._at - size : self._at]


def read_records(data: bytes) -> Iterator[tuple[Record, list[Any]]]:
    """The records of a frame, each as its kind and its fields in the order of format.h."""
    return _records(Reader(data))


def split_records(data: bytes) -> list[bytes]:
    """The records of a frame, each as its bytes."""
    reader = Reader(data)
    ends = [0, *(reader.at for _ in _records(reader))]
    return [data[begin:end] for begin, end in pairwise(ends)]


def _records(reader: Reader) -> Iterator[tuple[Record, list[Any]]]:
    number, text = reader.varint, reader.text
    fields: dict[Record, Any] = {
        **dict.fromkeys((Record.SYNC, Record.CLOCK, Record.PROFILED, Record.OBJECTS, Record.SHARE), list),
        Record.DEFINE_OP: lambda: [number(), text(), reader._take(8).hex()],  # noqa: SLF001
        Record.DEFINE_DEVICE: lambda: [number(), text(), number()],
        Record.MARK: lambda: [reader.zigzag(), reader.zigzag()],
        Record.OP: lambda: _op(reader),
        Record.ASK: lambda: _op(reader),
        Record.ALLOCATE: lambda: list(reader._new()[1:]),  # noqa: SLF001
        Record.ENSURE: lambda: list(reader._new()[1:]),  # noqa: SLF001
        Record.FREE: lambda: [number()],
        Record.WRITE: lambda: [number(), number(), reader.raw()],
        Record.RESIZE: lambda: [number(), number()],
        Record.READ: lambda: [reader.value()],
        Record.SEED: lambda: [number(), number(), number()],
        Record.GET_STATE: lambda: [number(), number()],
        Record.SET_STATE: lambda: [number(), number(), reader.raw()],
        Record.FREE_GENERATOR: lambda: [number()],
        Record.SETTING: lambda: [text(), [reader.value() for _ in range(number())]],
        Record.MEMORY: lambda: [number(), reader.enum(Memory)],
        Record.DEFINE_GRAPH: lambda: [number(), reader.raw()],
        Record.RUN_GRAPH: lambda: _op(reader),
        Record.FREE_GRAPH: lambda: [number()],
        Record.PROFILE: lambda: [number()],
        Record.ADOPT: lambda: [number(), number(), reader.layout(number())],
        Record.DROP_PARCEL: lambda: [number()],
        Record.FUNCTION: lambda: [number(), [number() for _ in range(number())], number()],
        Record.FUNCTION_PART: lambda: [number(), reader.raw()],
        Record.SAVE: lambda: [text(), reader.raw(), [reader.value() for _ in range(number())]],
        Record.LOAD: lambda: [text()],
        Record.FORGET: lambda: [text()],
        Record.MAPPED: lambda: [number(), bool(number())],
        Record.WRITE_SHARED: lambda: [number() for _ in range(5)],
        Record.READ_SHARED: lambda: [reader.value()],
        Record.OFFER: lambda: [*(number() for _ in range(5)), reader._take(32)],  # noqa: SLF001
        Record.EXPECT: lambda: [*(number() for _ in range(4)), reader._take(32)],  # noqa: SLF001
        Record.SEND: lambda: [number(), reader._take(32), reader.raw(), reader.value()],  # noqa: SLF001
        Record.RECEIVE: lambda: [number()],
        Record.WITHDRAW: lambda: [number()],
    }
    while not reader.done():
        kind = reader.enum(Record)
        yield kind, fields[kind]()


def _op(reader: Reader) -> list[Any]:
    index = reader.varint()
    name = reader.text() if index == 0 else index
    arguments = [reader.value() for _ in range(reader.varint())]
    return [name, arguments, [reader.output() for _ in range(reader.varint())]]
