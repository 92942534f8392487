"""Objects that stay in a session by a name: tensors on the server, and the structure that they are parts of.

The structure is pickled here with the tensors' storages left out. The server keeps it unread, beside the storages,
which it shares with whoever uses them: a name stands for the tensors themselves, not for copies. A kernel that loads
the object gets tensors over those storages, and nothing of them travels.

Loading in a process that has the tensors still, from a save or another load, finds these very tensors: an optimizer and
its module, loaded by two names, are about the same parameters.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from jupyter_skytorch.device import SkyError
from jupyter_skytorch.device.objects import Known, Naming, adopt, finder, save
from skytorch_wire.objects import (
    MAX_NAME_BYTES,
    MAX_PICKLE_BYTES,
    ObjectInfo,
    forget_record,
    load_record,
    objects_record,
    read_keys,
    read_loaded,
    read_objects,
)
from skytorch_wire.pickling import dumps, loads
from skytorch_wire.records import Reader, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from jupyter_skytorch.device import Sink

__all__ = ["Objects"]

_WHAT_IS_LEARNT = pickle.PicklingError, TypeError, AttributeError, ImportError, ValueError, EOFError, RecursionError


class Objects:
    """The named objects of one session."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        open_device: Callable[[str, int], torch.device],
        opened: Callable[[], Mapping[tuple[str, int], torch.device]],
    ) -> None:
        """`name` is the Compute's."""
        self._name = name
        self._sink = sink
        self._open_device = open_device
        self._opened = opened
        self._known = Known()

    def save(self, name: str, thing: object) -> ObjectInfo:
        """Keeps a thing by a name, in the place of what had it.

        Raises SkyError for a name or a thing that can't be kept.
        """
        check_name(name)
        naming = Naming(self._name, self._opened(), self._known)
        try:
            data = _joined(dumps(thing, naming))
        except _WHAT_IS_LEARNT as error:
            raise SkyError(f"{name} can't be saved: {error}") from error
        if len(data) > MAX_PICKLE_BYTES:
            raise SkyError(
                f"{name} can't be saved: what of it isn't on {self._name} takes {len(data) / 2**20:.0f} MiB, "
                f"and {MAX_PICKLE_BYTES >> 20} MiB is the limit; move its CPU tensors there"
            )
        keys = read_keys(save(self._sink, name, data, naming.tensors))
        for key, tensor in zip(keys, naming.tensors, strict=True):
            self._known.add_storage(key, tensor.untyped_storage())
        held = sum(tensor.untyped_storage().nbytes() for tensor in naming.tensors)
        return ObjectInfo(name, len(keys), held, len(data))

    def load(self, name: str) -> Any:
        """What is kept by a name; made anew around the tensors that are there. Raises SkyError."""
        check_name(name)
        loaded = read_loaded(self._sink.ask(load_record(name)))
        if loaded is None:
            there = ", ".join(info.name for info in self.list())
            raise SkyError(f"there is no object {name!r} on {self._name}" + (f"; there is {there}" if there else ""))
        storages = adopt(self._sink, loaded, self._known, self._open_device)
        find = finder(storages, self._known, self._open_device)
        try:
            return loads(_parted(loaded.pickle), find)
        except _WHAT_IS_LEARNT as error:
            raise SkyError(f"{name} can't be loaded here: {error}") from error

    def list(self) -> list[ObjectInfo]:
        """What is kept, by name."""
        return read_objects(self._sink.ask(objects_record()))

    def forget(self, name: str) -> None:
        """Takes a name away; what nobody else uses of its tensors is freed. Raises SkyError when there is none."""
        check_name(name)
        if not Reader(self._sink.ask(forget_record(name))).byte():
            raise SkyError(f"there is no object {name!r} on {self._name}")


def check_name(name: str) -> None:
    """Raises SkyError for what can't be an object's name."""
    if not name or len(name.encode(errors="replace")) > MAX_NAME_BYTES or not name.isprintable():
        raise SkyError(f"{name[:40]!r} can't be an object's name: printable, and {MAX_NAME_BYTES} bytes at most")


def _joined(runs: list[memoryview]) -> bytes:
    """Runs of bytes as one."""
    writer = Writer().varint(len(runs))
    for run in runs:
        writer.raw(bytes(run))
    return writer.take()


def _parted(data: bytes) -> list[list[memoryview]]:
    reader = Reader(data)
    return [[memoryview(reader.raw())] for _ in range(reader.varint())]
