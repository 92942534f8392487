"""Objects as pickles whose tensors stay where they are.

A pickle names the storages of remote tensors instead of holding them; what a storage is called, and what a name stands
for, is the caller's to say. All else of tensors (layouts, parameters, ties, aliases) is PyTorch's own way of pickling
them. Storages of the CPU, where nobody names them, travel beside the pickle.
"""

from __future__ import annotations

import ctypes
import io
import pickle
from typing import TYPE_CHECKING, Any

import cloudpickle
import torch
from torch.storage import TypedStorage, UntypedStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["address", "dumps", "loads"]


def dumps(thing: object, name: Callable[[object], object]) -> list[memoryview]:
    """The pickle of a thing, and the storages that travel with it, as runs of bytes.

    `name` is asked for the name of each UntypedStorage, torch.device and Tensor: anything that can be pickled, or None
    for what goes the usual way. The runs are valid as long as the thing is.
    """
    file = io.BytesIO()
    pickler = _Pickler(file, name)
    pickler.dump(thing)
    return [file.getbuffer(), *map(_memory, pickler.storages)]


def address(storage: UntypedStorage) -> int:
    """What tells a storage from others while it lives."""
    where: int = storage._cdata  # noqa: SLF001  (PyTorch has no other name for it)
    return where


def loads(runs: Sequence[Sequence[memoryview]], find: Callable[[Any], object]) -> Any:
    """The thing that :func:`dumps` made these runs of, each of them in pieces.

    `find` answers with what a name stands for. Whoever made the pickle decides what is called here.
    """
    return _Unpickler(io.BytesIO(b"".join(runs[0])), runs[1:], find).load()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # published without types
    def __init__(self, file: io.BytesIO, name: Callable[[object], object]) -> None:
        super().__init__(file)
        self._name = name
        self._numbers: dict[int, int] = {}
        self.storages: list[UntypedStorage] = []

    def persistent_id(self, thing: object) -> object:
        if isinstance(thing, torch.device | torch.Tensor):
            name = self._name(thing)
            return None if name is None else ("named", name)
        if not isinstance(thing, TypedStorage | UntypedStorage):
            return None
        dtype = None
        if isinstance(thing, TypedStorage):
            dtype = thing.dtype
            thing = thing._untyped_storage  # noqa: SLF001  (the public name warns)
        untyped: UntypedStorage = thing
        name = self._name(untyped)
        if name is not None:
            return ("remote", dtype, name)
        if untyped.device.type != "cpu":
            msg = f"a tensor of {untyped.device} can't be sent: move it to the CPU, or to sky"
            raise pickle.PicklingError(msg)
        number = self._numbers.setdefault(address(untyped), len(self.storages))
        if number == len(self.storages):
            self.storages.append(untyped)
        return ("here", dtype, number)


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, file: io.BytesIO, storages: Sequence[Sequence[memoryview]], find: Callable[[Any], object]
    ) -> None:
        super().__init__(file)
        self._runs = storages
        self._find = find
        self._storages: dict[int, UntypedStorage] = {}

    def persistent_load(self, name: Any) -> object:
        kind, *rest = name
        if kind == "named":
            return self._find(rest[0])
        dtype, which = rest
        untyped = self._find(which) if kind == "remote" else self._storage(which)
        made: Any = TypedStorage
        return untyped if dtype is None else made(wrap_storage=untyped, dtype=dtype, _internal=True)

    def _storage(self, number: int) -> UntypedStorage:
        if number not in self._storages:
            runs = self._runs[number]
            storage: UntypedStorage = torch.empty(sum(run.nbytes for run in runs), dtype=torch.uint8).untyped_storage()
            memory, at = _memory(storage), 0
            for run in runs:
                memory[at : at + run.nbytes] = run
                at += run.nbytes
            self._storages[number] = storage
        return self._storages[number]


def _memory(storage: UntypedStorage) -> memoryview:
    size = storage.nbytes()
    return memoryview((ctypes.c_char * size).from_address(storage.data_ptr())).cast("B") if size else memoryview(b"")
