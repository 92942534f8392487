"""Files with secrets in them: who may read them, and what was made of them until they change."""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

T = TypeVar("T")


class SecretFileError(ValueError):
    """A file that can't be read or used, or that too many can read; the message is one line and names the file."""


class Reread(Generic[T]):
    """What files hold, read again when they change. What can't be read leaves what was read before in force."""

    def __init__(self, files: Sequence[Path], load: Callable[[], T], told: Callable[[T], str]) -> None:
        """Reads them. `load` makes something of the files, `told` says for the log what was read.

        Raises:
            SecretFileError: from `load`, or because a file isn't there.
        """
        self._files = files
        self._load = load
        self._told = told
        self._seen: tuple[tuple[int, int, int, int], ...] | None = self._fingerprint()
        self._value = load()

    def get(self) -> T:
        """What the files hold now."""
        try:
            now = self._fingerprint()
        except SecretFileError as error:
            if self._seen is not None:
                self._seen = None
                _log.error("%s; what was read before stays in force", error)
            return self._value
        if now != self._seen:
            self._seen = now
            try:
                self._value = self._load()
            except SecretFileError as error:
                _log.error("%s; what was read before stays in force", error)
            else:
                _log.info("read %s again", self._told(self._value))
        return self._value

    def _fingerprint(self) -> tuple[tuple[int, int, int, int], ...]:
        return tuple(_fingerprint(path) for path in self._files)


def check_private(path: Path) -> None:
    """Refuses a file that every user of the machine can read or change.

    The group may: that is how Kubernetes hands a secret to a container that isn't root.

    Raises:
        SecretFileError: it is open to others, or can't be looked at.
    """
    if _fingerprint(path)[3] & (stat.S_IROTH | stat.S_IWOTH):
        raise SecretFileError(f"every user of this machine can read or change {path}: chmod o-rw {path}")


def _fingerprint(path: Path) -> tuple[int, int, int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - on every call, so the cheap form
    except OSError as error:
        raise SecretFileError(f"{path} can't be read: {error.strerror}") from error
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode
