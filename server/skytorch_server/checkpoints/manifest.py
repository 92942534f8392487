"""What a checkpoint consists of, as it is written beside its tensors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from skytorch_wire import sessions_pb2

__all__ = ["CheckpointError", "Manifest", "ObjectEntry", "StorageEntry"]

_VERSION = 1


class CheckpointError(Exception):
    """A checkpoint can't be written or read; the message is one line, `code` the name of a gRPC status."""

    def __init__(self, message: str, code: str = "INTERNAL") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class StorageEntry:
    """A storage, and the view that it was allocated as."""

    dtype: str
    sizes: list[int]
    strides: list[int]
    offset: int
    device: tuple[str, int]


@dataclass(frozen=True)
class ObjectEntry:
    """A named object: places of its storages; its pickle lies beside them, at its own place."""

    name: str
    storages: list[int]


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint is. `size` (in bytes) and `sha256` are those of the file `data`."""

    name: str
    session: str
    """What the session was called."""
    data: str
    size: int
    sha256: str
    objects: list[ObjectEntry]
    storages: list[StorageEntry]
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """ISO 8601, UTC."""
    version: int = _VERSION

    def to_bytes(self) -> bytes:
        """The file's content."""
        content = asdict(self)
        return _canonical({**content, "checksum": _checksum(content)})

    def message(self) -> sessions_pb2.Checkpoint:
        """As clients are told."""
        message = sessions_pb2.Checkpoint(
            name=self.name, session_name=self.session, bytes=self.size, objects=[entry.name for entry in self.objects]
        )
        message.created.FromDatetime(datetime.fromisoformat(self.created))
        return message

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Reads what :meth:`to_bytes` wrote. Raises CheckpointError for anything else."""
        try:
            content: dict[str, Any] = json.loads(data)
            good = content.pop("checksum") == _checksum(content)
            version = content["version"]
        except (AttributeError, KeyError, TypeError, ValueError):
            good = False
        if not good:
            raise CheckpointError("its manifest is damaged", "DATA_LOSS")
        if version != _VERSION:
            raise CheckpointError(f"another version of the server wrote it ({version})", "FAILED_PRECONDITION")
        try:
            objects = [ObjectEntry(**entry) for entry in content.pop("objects")]
            storages = [
                StorageEntry(**{**entry, "device": (entry["device"][0], entry["device"][1])})
                for entry in content.pop("storages")
            ]
            return cls(**content, objects=objects, storages=storages)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise CheckpointError("its manifest is damaged", "DATA_LOSS") from error


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()
