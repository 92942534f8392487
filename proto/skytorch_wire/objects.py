"""Objects that a session keeps by a name: the records about them, for Python, and what is replied to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .format import Record
from .records import MalformedError, Reader, View, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MAX_NAME_BYTES",
    "MAX_OBJECTS",
    "MAX_PICKLES_BYTES",
    "MAX_PICKLE_BYTES",
    "HeldStorage",
    "LoadedObject",
    "ObjectInfo",
    "adopt_records",
    "forget_record",
    "load_record",
    "objects_record",
    "read_keys",
    "read_loaded",
    "read_objects",
    "save_record",
]

#: What a session may hold, as in ``format.h``.
MAX_OBJECTS = 1 << 10
MAX_NAME_BYTES = 1 << 8
MAX_PICKLE_BYTES = 16 << 20
MAX_PICKLES_BYTES = 256 << 20


@dataclass(frozen=True)
class HeldStorage:
    """A storage of a named object."""

    key: int
    """By which the session knows it for as long as it lives, whatever numbers clients give it."""
    device: tuple[str, int]
    bytes: int
    home: View
    """The view that it was allocated as."""


@dataclass(frozen=True)
class LoadedObject:
    """What a named object is made of."""

    parcel: int
    """Holds the storages, each in the slot of its place, until it is dropped; 0 where there are none."""
    pickle: bytes
    storages: list[HeldStorage]


@dataclass(frozen=True)
class ObjectInfo:
    """A named object, as a list shows it. Storages that are parts of several objects count in each."""

    name: str
    storages: int
    storage_bytes: int
    pickle_bytes: int


def save_record(name: str, pickle: bytes, storages: Sequence[View]) -> bytes:
    """Keeps the views' storages under a name."""
    writer = Writer().byte(Record.SAVE).text(name).raw(pickle).varint(len(storages))
    for view in storages:
        writer.tensor(view)
    return writer.take()


def load_record(name: str) -> bytes:
    """Asks for an object."""
    return Writer().byte(Record.LOAD).text(name).take()


def adopt_records(loaded: LoadedObject, storages: Sequence[int]) -> list[bytes]:
    """Gives a loaded object's storages numbers, where they aren't 0, and drops its parcel."""
    if not loaded.parcel:
        return []
    wanted = [
        Writer().adopt(loaded.parcel, slot, replace(held.home, storage=storage)).take()
        for slot, (held, storage) in enumerate(zip(loaded.storages, storages, strict=True))
        if storage
    ]
    return [*wanted, Writer().drop_parcel(loaded.parcel).take()]


def forget_record(name: str) -> bytes:
    """Takes an object's name away."""
    return Writer().byte(Record.FORGET).text(name).take()


def objects_record() -> bytes:
    """Asks which objects there are."""
    return Writer().byte(Record.OBJECTS).take()


def read_keys(data: bytes) -> list[int]:
    """The answer to SAVE: the storages' keys, in order. Raises MalformedError."""
    reader = Reader(data)
    return [reader.varint() for _ in range(_count(reader, data))]


def read_loaded(data: bytes) -> LoadedObject | None:
    """The answer to LOAD; None where there is no such object. Raises MalformedError."""
    reader = Reader(data)
    if not reader.byte():
        return None
    parcel, pickle = reader.varint(), reader.raw()
    storages = []
    for number in range(_count(reader, data)):
        key, device = reader.varint(), (reader.text(), reader.varint())
        storages.append(HeldStorage(key, device, reader.varint(), reader.layout(number)))
    return LoadedObject(parcel, pickle, storages)


def read_objects(data: bytes) -> list[ObjectInfo]:
    """The answer to OBJECTS. Raises MalformedError."""
    reader = Reader(data)
    return [
        ObjectInfo(reader.text(), reader.varint(), reader.varint(), reader.varint())
        for _ in range(_count(reader, data))
    ]


def _count(reader: Reader, data: bytes) -> int:
    count = reader.varint()
    if count > len(data):
        msg = "a list is longer than its answer"
        raise MalformedError(msg)
    return count
