"""Tensors of a session as a pickle names them: what stays on the server, and what of it this process has already."""

from __future__ import annotations

import pickle
import secrets
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.weak import TensorWeakRef, WeakIdKeyDictionary

from skytorch_wire.format import DTYPE_NUMBERS
from skytorch_wire.records import Writer, contiguous_strides

from .backend import core

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skytorch_wire.objects import LoadedObject

    from .backend import Sink

__all__ = ["Known", "Naming", "adopt", "finder", "save"]


def save(sink: Sink, name: str, data: bytes, tensors: Sequence[torch.Tensor]) -> bytes:
    """Has the server keep the tensors' storages by a name; what it replies."""
    return sink.save(name, data, [tensor._cdata for tensor in tensors])


def adopt(
    sink: Sink, loaded: LoadedObject, known: Known, open_device: Callable[[str, int], torch.device]
) -> list[torch.Tensor]:
    """Some tensor over each storage of a loaded object: those that this process doesn't have become new ones of its."""
    tensors = []
    try:
        for slot, held in enumerate(loaded.storages):
            tensor = known.storage(held.key)
            if tensor is None:
                home = held.home
                strides = home.strides if home.strides is not None else contiguous_strides(home.sizes)
                wanted = slot, held.bytes, DTYPE_NUMBERS[home.dtype], home.sizes, strides, home.offset
                (tensor,) = core.adopt(open_device(*held.device).index, loaded.parcel, [wanted])
                known.add_storage(held.key, tensor.untyped_storage())
            tensors.append(tensor)
    finally:
        if loaded.parcel:
            sink.append(Writer().drop_parcel(loaded.parcel).take())
    return tensors


def finder(
    storages: Sequence[torch.Tensor], known: Known, open_device: Callable[[str, int], torch.device]
) -> Callable[[Any], object]:
    """What finds the things that :class:`Naming` has named, where `storages` are the tensors at their places."""

    def find(name: Any) -> object:
        if isinstance(name, int):
            return storages[name].untyped_storage()
        kind, *rest = name
        if kind == "device":
            return open_device(*rest)
        token, place, (rebuild, arguments) = rest
        tensor = known.tensor(token, storages[place])
        return known.add_tensor(token, rebuild(*arguments)) if tensor is None else tensor

    return find


class Known:
    """What this process has of the session's storages and tensors, as far as something else keeps them alive."""

    def __init__(self) -> None:
        self._storages: dict[int, StorageWeakRef] = {}
        self._tensors: dict[bytes, TensorWeakRef] = {}
        self._tokens: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def storage(self, key: int) -> torch.Tensor | None:
        found = self._storages.get(key)
        if found is None:
            return None
        storage = torch.UntypedStorage._new_with_weak_ptr(found.cdata)
        if storage is None:
            del self._storages[key]
            return None
        return _whole(storage)

    def add_storage(self, key: int, storage: torch.UntypedStorage) -> None:
        if len(self._storages) > 2 * len(self._alive()):
            self._storages = self._alive()
        self._storages[key] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]

    def _alive(self) -> dict[int, StorageWeakRef]:
        return {
            key: found
            for key, found in self._storages.items()
            if not found.expired()  # type: ignore[no-untyped-call]
        }

    def token(self, tensor: torch.Tensor) -> bytes:
        """What names a tensor in pickles."""
        token: bytes | None = self._tokens.get(tensor)  # type: ignore[no-untyped-call]
        if token is None:
            token = secrets.token_bytes(12)
            self.add_tensor(token, tensor)
        return token

    def add_tensor(self, token: bytes, tensor: torch.Tensor) -> torch.Tensor:
        self._tokens[tensor] = token
        self._tensors[token] = TensorWeakRef(tensor)
        return tensor

    def tensor(self, token: bytes, over: torch.Tensor) -> torch.Tensor | None:
        """The tensor of a token, if it lives and is still over the same storage."""
        found = self._tensors.get(token)
        tensor: torch.Tensor | None = found() if found is not None else None
        if tensor is None or tensor.untyped_storage()._cdata != over.untyped_storage()._cdata:
            return None
        return tensor


class Naming:
    """Names for the parts of a thing that stay on the server."""

    def __init__(self, name: str, opened: Mapping[tuple[str, int], torch.device], known: Known) -> None:
        self._compute = name
        self._devices = {device: remote for remote, device in opened.items()}
        self._known = known
        self._places: dict[int, int] = {}
        self.tensors: list[torch.Tensor] = []
        """One over each of the storages."""

    def __call__(self, thing: object) -> object:
        if isinstance(thing, torch.device):
            return ("device", *self._remote(thing)) if thing.type == "sky" else None
        if isinstance(thing, torch.UntypedStorage):
            return self._place(thing) if thing.device.type == "sky" else None
        if isinstance(thing, torch.Tensor) and thing.device.type == "sky" and thing.layout == torch.strided:
            return self._tensor(thing)
        return None

    def _tensor(self, tensor: torch.Tensor) -> object:
        place = self._place(tensor.untyped_storage(), tensor)
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
            return None  # a class of its own has its own ways of being pickled, around the storage
        return "tensor", self._known.token(tensor), place, tensor.__reduce_ex__(pickle.DEFAULT_PROTOCOL)  # type: ignore[no-untyped-call]

    def _place(self, storage: torch.UntypedStorage, tensor: torch.Tensor | None = None) -> int:
        place = self._places.get(storage._cdata)
        if place is None:
            self._remote(storage.device)
            place = self._places[storage._cdata] = len(self.tensors)
            if tensor is None:
                tensor = _whole(storage)
            self.tensors.append(tensor.detach())
        return place

    def _remote(self, device: torch.device) -> tuple[str, int]:
        if device.index is None:
            device = torch.device("sky", torch.accelerator.current_device_index())
        if device not in self._devices:
            raise pickle.PicklingError(f"a part of it is on {device}, which isn't a device of {self._compute}")
        return self._devices[device]


def _whole(storage: torch.UntypedStorage) -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
