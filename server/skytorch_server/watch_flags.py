"""The flags that say what is told of the server, and to whom."""

from __future__ import annotations

import argparse
import os
from difflib import get_close_matches
from pathlib import Path

from .arguments import port
from .logs import FORMATS
from .metrics.registry import SOURCES

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def add_watch_flags(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    environment = os.environ.get
    group = parser.add_argument_group("what is told")
    group.add_argument(
        "--log-level",
        type=str.upper,
        choices=_LEVELS,
        default=environment("SKYTORCH_LOG_LEVEL", "INFO"),
        help="what is logged to standard error (SKYTORCH_LOG_LEVEL, default INFO)",
    )
    group.add_argument(
        "--log-format",
        choices=FORMATS,
        default=environment("SKYTORCH_LOG_FORMAT", "text"),
        help="json: an object a line, with the session and the request it is about (SKYTORCH_LOG_FORMAT, default text)",
    )
    group.add_argument(
        "--audit-log",
        type=Path,
        metavar="FILE",
        default=environment("SKYTORCH_AUDIT_LOG"),
        help="append who did what to FILE, an object of JSON a line, readable by its owner alone (SKYTORCH_AUDIT_LOG)",
    )
    group.add_argument(
        "--metrics-sources",
        type=_sources,
        default=environment("SKYTORCH_METRICS_SOURCES", ",".join(SOURCES)),
        metavar="NAMES",
        help=f"comma separated, of {', '.join(SOURCES)} (SKYTORCH_METRICS_SOURCES, default all)",
    )
    group.add_argument(
        "--metrics-port",
        type=port,
        metavar="PORT",
        default=environment("SKYTORCH_METRICS_PORT"),
        help="serve the metrics for Prometheus there, without names; 0 for any free port (SKYTORCH_METRICS_PORT, "
        "default nowhere)",
    )
    group.add_argument(
        "--metrics-host",
        default=environment("SKYTORCH_METRICS_HOST", "127.0.0.1"),
        metavar="HOST",
        help="address of that port, which asks nobody for a token (SKYTORCH_METRICS_HOST, default 127.0.0.1)",
    )


def _sources(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in SOURCES:
            close = get_close_matches(name, SOURCES, 1)
            advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(SOURCES)}"
            raise argparse.ArgumentTypeError(f"no metrics source is called {name!r}: {advice}")
    return names
