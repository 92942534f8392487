"""Storages on their way to the client, which has no numbers for them yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.storage import UntypedStorage

from skytorch_wire.pickling import address

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Slots"]


class Slots:
    """The slots of a parcel, filled while something is pickled: see :func:`skytorch_wire.pickling.dumps`.

    Two tensors of one storage share a slot, so that ties and views are kept. A storage that the client knows already
    gets none, and is told by its number.
    """

    def __init__(self, kind: str, known: Mapping[int, int]) -> None:
        """For storages on devices of a `kind`, "cpu" or "cuda". `known`: the client's numbers, by address."""
        self._kind = kind
        self._known = known
        self._slots: dict[int, int] = {}
        self._storages: list[UntypedStorage] = []
        self._homes: dict[int, torch.Tensor] = {}

    def name(self, thing: object) -> object:
        """The name of a storage that stays: ("slot", its slot) or ("known", its number)."""
        if isinstance(thing, torch.Tensor):
            self._note(thing)
        if not isinstance(thing, UntypedStorage) or thing.device.type != self._kind:
            return None
        where = address(thing)
        if where in self._known:
            return ("known", self._known[where])
        if where not in self._slots:
            self._slots[where] = len(self._storages)
            self._storages.append(thing)
        return ("slot", self._slots[where])

    def _note(self, tensor: torch.Tensor) -> None:
        """The first tensor that begins where its storage does is how the storage will be used: as its home."""
        if type(tensor) not in {torch.Tensor, torch.nn.Parameter} or tensor.layout is not torch.strided:
            return
        if tensor.device.type == self._kind and tensor.storage_offset() == 0 and tensor.is_contiguous():
            self._homes.setdefault(address(tensor.untyped_storage()), tensor)

    def tensors(self) -> list[torch.Tensor]:
        """What the slots hold, as all of its bytes."""
        return [_bytes_of(storage) for storage in self._storages]

    def table(self) -> list[Any]:
        """The slots as the client is told of them: type and index of the device, bytes, dtype and sizes of the home."""
        return [self._row(storage) for storage in self._storages]

    def _row(self, storage: UntypedStorage) -> list[Any]:
        home = self._homes.get(address(storage))
        if home is None or home.is_conj() or home.is_neg():
            home = _bytes_of(storage)
        dtype = str(home.dtype).removeprefix("torch.")
        return [storage.device.type, storage.device.index or 0, storage.nbytes(), dtype, list(home.shape)]


def _bytes_of(storage: UntypedStorage) -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
