"""The log of a server and of its sessions: standard error, one line an event."""

from __future__ import annotations

import logging


def set_up_logging(level: int | str) -> None:
    """Sends what is logged at `level` and above to standard error."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    # gRPC tells at DEBUG which event loop it found.
    logging.getLogger("grpc").setLevel(max(logging.getLogger().level, logging.INFO))
