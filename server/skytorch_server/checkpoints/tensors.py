"""Named objects to a file and back: safetensors, whose reading runs nothing. Pickles lie in it as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch

from .manifest import CheckpointError, ObjectEntry, StorageEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skytorch_server.session.executor import NamedObject

    from .folder import CheckpointFolder
    from .manifest import Manifest

__all__ = ["read", "write"]


def write(folder: CheckpointFolder, name: str, session: str, objects: Sequence[NamedObject], limit: int) -> Manifest:
    """Writes objects as the checkpoint of a name, of `limit` bytes at most; `session` is what their session is called.

    Storages that several objects share are written once. Raises CheckpointError; an older checkpoint then stays.
    """
    tensors: dict[str, torch.Tensor] = {}
    entries: list[ObjectEntry] = []
    storages: list[StorageEntry] = []
    places: dict[int, int] = {}
    for number, (called, pickle, homes) in enumerate(objects):
        tensors[f"pickle.{number}"] = _bytes(pickle)
        own = []
        for home in homes:
            if home is None or home.is_meta:
                raise CheckpointError(
                    f"{called} has a tensor that a failed op has left without its values", "FAILED_PRECONDITION"
                )
            key = home.untyped_storage().data_ptr() or id(home)
            if key not in places:
                places[key] = len(storages)
                storages.append(_entry(home, called))
                tensors[f"storage.{places[key]}"] = _whole(home)
            own.append(places[key])
        entries.append(ObjectEntry(called, own))
    size = sum(tensor.nbytes for tensor in tensors.values())
    if size > limit:
        raise CheckpointError(
            f"{name} would take {size} bytes, and {max(limit, 0)} are left to you: delete a checkpoint, or checkpoint "
            "fewer objects (the server's --max-checkpoint-bytes)",
            "RESOURCE_EXHAUSTED",
        )
    try:
        temporary = folder.new_data(name)
        try:
            safetensors.torch.save_file(tensors, temporary)
            return folder.commit(temporary, name, session, entries, storages)
        except BaseException:
            folder.abandon(temporary)
            raise
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{name} can't be written: {_words(error)}") from None


def read(folder: CheckpointFolder, manifest: Manifest, names: Sequence[str]) -> list[NamedObject]:
    """The objects of some names, or of all. Raises CheckpointError."""
    known = {entry.name for entry in manifest.objects}
    for name in names:
        if name not in known:
            raise CheckpointError(f"the checkpoint {manifest.name!r} has no object {name!r}", "NOT_FOUND")
    path = folder.verified(manifest)
    made: dict[int, torch.Tensor] = {}
    found: list[NamedObject] = []
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            for number, entry in enumerate(manifest.objects):
                if names and entry.name not in names:
                    continue
                for place in entry.storages:
                    if place not in made:
                        made[place] = _home(file.get_tensor(f"storage.{place}"), manifest.storages[place])
                pickle = bytes(file.get_tensor(f"pickle.{number}").numpy())
                found.append((entry.name, pickle, [made[place] for place in entry.storages]))
    except torch.OutOfMemoryError as error:
        raise CheckpointError(
            f"there is not enough memory for {manifest.name!r}: {_words(error)}", "RESOURCE_EXHAUSTED"
        ) from None
    except (OSError, RuntimeError, LookupError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"the checkpoint {manifest.name!r} can't be read: {_words(error)}") from None
    return found


def _bytes(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)


def _entry(home: torch.Tensor, called: str) -> StorageEntry:
    dtype = str(home.dtype).removeprefix("torch.")
    try:
        safetensors.torch.save({"": torch.empty(0, dtype=home.dtype)})
    except Exception:  # noqa: BLE001 - its ways of saying so differ from version to version
        raise CheckpointError(
            f"{called} has a tensor of dtype {dtype}, which safetensors can't hold", "FAILED_PRECONDITION"
        ) from None
    device = home.device.type, home.device.index or 0
    return StorageEntry(dtype, [*map(int, home.shape)], [*map(int, home.stride())], int(home.storage_offset()), device)


def _whole(home: torch.Tensor) -> torch.Tensor:
    """All of a tensor's storage, in one dimension where the tensor isn't it."""
    storage = home.untyped_storage()
    if home.is_contiguous() and home.nbytes == storage.nbytes():
        return home
    dtype = home.dtype if storage.nbytes() % home.element_size() == 0 else torch.uint8
    whole = torch.empty(0, dtype=dtype, device=home.device)
    return whole.set_(storage, 0, (storage.nbytes() // whole.element_size(),), (1,))


def _home(whole: torch.Tensor, entry: StorageEntry) -> torch.Tensor:
    # What safetensors gives may lie in a map of the file.
    memory = torch.empty(whole.nbytes, dtype=torch.uint8, device=torch.device(*entry.device))
    memory.copy_(whole.reshape(-1).view(torch.uint8))
    home = torch.empty(0, dtype=getattr(torch, entry.dtype), device=memory.device)
    return home.set_(memory.untyped_storage(), entry.offset, entry.sizes, entry.strides)


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:200]
