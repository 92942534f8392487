"""The log of a server and of its sessions: standard error, one line an event."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from .current_call import running_call

#: Text for people, or JSON for what collects logs.
FORMATS = ("text", "json")


def set_up_logging(level: int | str, form: str = "text", *, session: str = "") -> None:
    """Sends what is logged at `level` and above to standard error. `session` is whose process this is."""
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(_Json(session))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # gRPC tells at DEBUG which event loop it found.
    logging.getLogger("grpc").setLevel(max(logging.getLogger().level, logging.INFO))


class _Json(logging.Formatter):
    """One object a line. Which session and which call it is about stands beside what is said."""

    def __init__(self, session: str) -> None:
        super().__init__()
        self._session = session

    def format(self, record: logging.LogRecord) -> str:
        call = running_call()
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "session": getattr(record, "session", self._session),
            "request": call.request_id if call else "",
            "principal": call.principal if call else "",
            "peer": call.address if call else "",
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in said.items() if value})
