"""Messages as nobody should send them: made from descriptors, so that new fields and new calls join by themselves."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

_DEEPEST = 5
_LONG = 20_000
_INTEGERS = (0, 1, 2, 3, 7, 255, 1 << 20, 1 << 40, (1 << 62) + 1)
_REALS = (0.0, 1.0, -1.0, 0.1, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan"))
_TEXTS = (
    "",
    "a",
    "\0",
    "../../etc/passwd",
    "cpu",
    "cuda",
    "cuda:99",
    "float32",
    "complex128",
    "no such dtype",
    "\U0001f4a5" * 9,
)

# By the field's wire type: the number of bits, and whether it may be negative.
_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (31, True),
    FieldDescriptor.CPPTYPE_INT64: (63, True),
    FieldDescriptor.CPPTYPE_UINT32: (32, False),
    FieldDescriptor.CPPTYPE_UINT64: (64, False),
}


class Messages:
    """Makes messages. `known` are values, by a field's name, that the server will find familiar."""

    def __init__(self, seed: int, known: dict[str, list[Any]]) -> None:
        self._random = random.Random(seed)
        self._known = known

    def serialized(self, descriptor: Descriptor) -> bytes:
        """A message of this type, or what is left of one, or just bytes."""
        chosen = self._random.random()
        if chosen < 0.1:
            return self._random.randbytes(self._random.choice((0, 1, 3, 20, 300)))
        data = bytearray(self.message(descriptor).SerializeToString())
        if chosen < 0.4 and data:
            for _ in range(self._random.choice((1, 1, 2, 8))):
                self._damage(data)
        return bytes(data)

    def _damage(self, data: bytearray) -> None:
        at = self._random.randrange(len(data) + 1)
        match self._random.randrange(4):
            case 0:
                del data[at:]
            case 1:
                data[at:at] = self._random.randbytes(self._random.choice((1, 2, 10)))
            case 2:
                del data[at : at + self._random.choice((1, 2, 10))]
            case _:
                if at < len(data):
                    data[at] = self._random.choice((data[at] ^ 1 << self._random.randrange(8), 0, 0x7F, 0x80, 0xFF))

    def message(self, descriptor: Descriptor, depth: int = 0) -> Message:
        """A message that is one, of values that nobody would expect."""
        message: Any = GetMessageClass(descriptor)()
        for field in descriptor.fields:
            if self._random.random() < 0.3 and field.name not in self._known:
                continue
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                entry = field.message_type.fields_by_name
                for _ in range(self._random.choice((0, 1, 3, 40))):
                    key, value = self._value(entry["key"], depth), entry["value"]
                    if value.message_type is None:
                        getattr(message, field.name)[key] = self._value(value, depth)
            elif field.is_repeated:
                for _ in range(self._random.choice((0, 1, 2, 4, 70 if depth < 2 else 1))):
                    self._add(getattr(message, field.name), field, depth)
            elif field.message_type is not None:
                if depth < _DEEPEST:
                    getattr(message, field.name).CopyFrom(self.message(field.message_type, depth + 1))
            else:
                setattr(message, field.name, self._value(field, depth))
        return message

    def _add(self, items: Any, field: FieldDescriptor, depth: int) -> None:
        if field.message_type is None:
            items.append(self._value(field, depth))
        elif depth < _DEEPEST:
            items.add().CopyFrom(self.message(field.message_type, depth + 1))

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        known = self._known.get(field.name)
        if known and self._random.random() < 0.8:
            return self._random.choice(known)
        kind = field.cpp_type
        if kind in _BITS:
            bits, signed = _BITS[kind]
            value = self._random.choice((*_INTEGERS, (1 << bits) - 1)) & (1 << bits) - 1
            return -value if signed and self._random.random() < 0.3 else value
        if kind in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
            return self._random.choice(_REALS)
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self._random.random() < 0.5
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return self._random.choice([value.number for value in field.enum_type.values] + [99])
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._random.randbytes(self._random.choice((0, 1, 32, 200, _LONG if depth < 2 else 1)))
        return self._random.choice((*_TEXTS, "x" * (_LONG if depth < 2 else 300)))
