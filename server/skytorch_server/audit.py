"""Who did what: a line of JSON for each thing that somebody may have to answer for. Never a token, never data."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING

from .current_call import running_call

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class Audit:
    """Appends to a file of mode 0600, which may be moved away at any time: a new one is begun then.

    The server's processes write to it at once; a line is written whole.
    """

    def __init__(self, path: Path | None) -> None:
        """None: nothing is written.

        Raises:
            OSError: the file can't be written.
        """
        self.path = path
        self._file = None if path is None else _File(path)

    def write(self, event: str, **fields: str | float) -> None:
        """Writes one event, with the call that it is the doing of where there is one. Empty fields are left out."""
        if self._file is None:
            return
        call = running_call()
        known: dict[str, str | int | float] = {"time": datetime.now(UTC).isoformat(), "event": event}
        if call is not None:
            known |= {"principal": call.principal, "peer": call.address, "request": call.request_id}
        line = {key: value for key, value in (known | fields).items() if value != ""}
        self._file.handle(logging.makeLogRecord({"msg": json.dumps(line)}))

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()


class _File(WatchedFileHandler):
    """Of the standard library, but readable by us alone from its first moment."""

    def _open(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as the base class has it
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(self.baseFilename, flags, 0o600)
        os.fchmod(file, 0o600)  # one that was there may have been open to others
        return os.fdopen(file, "a", encoding="utf-8")

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802 - as the base class has it
        _log.exception("the audit log %s can't be written", self.baseFilename)
