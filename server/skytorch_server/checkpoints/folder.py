"""One principal's checkpoints: a manifest and a file of tensors each, in a folder of the server's own.

The manifest says which file holds the tensors, and that file's hash; it is written last, whole, and names its own hash.
So a checkpoint is the old one or the new one, whatever happens in between.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from .manifest import CheckpointError, Manifest

if TYPE_CHECKING:
    from pathlib import Path

    from .manifest import ObjectEntry, StorageEntry

__all__ = ["CheckpointFolder", "check_name", "open_root"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_DATA = re.compile(r"(?P<name>.+)\.[0-9a-f]{16}\.safetensors")
_PLAIN_PRINCIPAL = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_LARGEST_MANIFEST = 64 << 20
_HASHED_AT_ONCE = 1 << 20


def check_name(name: str) -> str:
    """The name, if a checkpoint can be called that: it becomes part of a file's name. Raises CheckpointError."""
    if not _NAME.fullmatch(name):
        raise CheckpointError(
            f"{name[:40]!r} can't be a checkpoint's name: letters, digits, '_', '-' and '.', at most 64",
            "INVALID_ARGUMENT",
        )
    return name


def open_root(path: Path) -> Path:
    """The folder of all checkpoints, made where it is missing, and without what a server that was killed left in it.

    Raises OSError when it can't be had.
    """
    path = path.expanduser().absolute()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(f"--checkpoint-dir {path} can't be written to")
    for folder in path.iterdir():
        if _is_own(folder):
            CheckpointFolder(folder).sweep()
    return path


class CheckpointFolder:
    """The checkpoints of one principal. Methods raise CheckpointError."""

    def __init__(self, path: Path) -> None:
        """A folder that :func:`open_root`'s holds."""
        self.path = path

    @classmethod
    def of(cls, root: Path, principal: str) -> CheckpointFolder:
        """The folder of a principal, whatever it is called."""
        if _PLAIN_PRINCIPAL.fullmatch(principal):
            return cls(root / principal)
        return cls(root / f"~{hashlib.sha256(principal.encode()).hexdigest()[:32]}")

    def manifests(self) -> list[Manifest]:
        """Those that can be read, oldest first."""
        found = []
        for path in self.path.glob("*.json"):
            with suppress(CheckpointError):
                found.append(self.read(path.stem))
        return sorted(found, key=lambda manifest: manifest.created)

    def used(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.path.iterdir()) if self.path.exists() else 0

    def read(self, name: str) -> Manifest:
        """The manifest of a checkpoint."""
        path = self.path / f"{check_name(name)}.json"
        self._check()
        try:
            with open(path, "rb", opener=_no_links) as file:
                data = file.read(_LARGEST_MANIFEST + 1)
        except FileNotFoundError:
            raise CheckpointError(f"there is no checkpoint {name!r}", "NOT_FOUND") from None
        except OSError as error:
            raise CheckpointError(f"the checkpoint {name!r} can't be read: {error.strerror}") from None
        try:
            manifest = Manifest.from_bytes(data)
        except CheckpointError as error:
            raise CheckpointError(f"the checkpoint {name!r} can't be read: {error}", error.code) from None
        match = _DATA.fullmatch(manifest.data)
        if manifest.name != name or match is None or match["name"] != name:
            raise CheckpointError(f"the checkpoint {name!r} can't be read: its manifest is another's", "DATA_LOSS")
        return manifest

    def verified(self, manifest: Manifest) -> Path:
        """The file of its tensors, if it is what was written."""
        path = self.path / manifest.data
        try:
            sha256 = _hash(path)
        except OSError as error:
            raise CheckpointError(f"the checkpoint {manifest.name!r} can't be read: {error.strerror}") from None
        if sha256 != manifest.sha256:
            raise CheckpointError(
                f"the checkpoint {manifest.name!r} is damaged: its tensors aren't those that were written", "DATA_LOSS"
            )
        return path

    def new_data(self, name: str) -> Path:
        """Where tensors are to be written first; :meth:`commit` or :meth:`abandon` follows."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        self._check()
        path = self.path / f".{check_name(name)}.{secrets.token_hex(8)}.safetensors.tmp"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return path

    def abandon(self, temporary: Path) -> None:
        """Removes what came to nothing."""
        temporary.unlink(missing_ok=True)

    def commit(
        self, temporary: Path, name: str, session: str, objects: list[ObjectEntry], storages: list[StorageEntry]
    ) -> Manifest:
        """Makes the tensors that were written there a checkpoint, in the place of an older one of the name."""
        _sync(temporary)
        data = temporary.name.removeprefix(".").removesuffix(".tmp")
        manifest = Manifest(name, session, data, temporary.stat().st_size, _hash(temporary), objects, storages)
        before = None
        with suppress(CheckpointError):
            before = self.read(name)
        final = self.path / data
        temporary.rename(final)
        try:
            self._write(self.path / f"{name}.json", manifest.to_bytes())
        except BaseException:
            final.unlink(missing_ok=True)
            raise
        if before is not None:
            (self.path / before.data).unlink(missing_ok=True)
        return manifest

    def remove(self, name: str) -> None:
        """Deletes a checkpoint, also one that can't be read."""
        path = self.path / f"{check_name(name)}.json"
        if not path.exists():
            raise CheckpointError(f"there is no checkpoint {name!r}", "NOT_FOUND")
        path.unlink()
        _sync(self.path)
        self.sweep()

    def sweep(self) -> None:
        """Removes what belongs to no checkpoint: a server was killed while it wrote."""
        for path in self.path.glob(".*.tmp"):
            path.unlink(missing_ok=True)
        for path in self.path.glob("*.safetensors"):
            match = _DATA.fullmatch(path.name)
            if match is None:
                continue
            try:
                wanted = self.read(match["name"]).data == path.name
            except CheckpointError:
                # Somebody may want to look at a damaged one.
                wanted = (self.path / f"{match['name']}.json").exists()
            if not wanted:
                path.unlink(missing_ok=True)

    def _check(self) -> None:
        if self.path.exists() and not _is_own(self.path):
            raise CheckpointError("the folder of your checkpoints isn't the server's own")

    def _write(self, path: Path, content: bytes) -> None:
        temporary = self.path / f".{path.name}.{secrets.token_hex(8)}.tmp"
        try:
            with open(temporary, "xb", opener=_private) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # The tensors' own name is on the disk before the manifest that names it.
            _sync(self.path)
            temporary.rename(path)
            _sync(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _is_own(folder: Path) -> bool:
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", opener=_no_links) as file:
        while part := file.read(_HASHED_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
