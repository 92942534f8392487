"""The flags that say what is told of the server, and to whom."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from pathlib import Path

from .arguments import FlagGroup, one_of, port
from .logs import FORMATS
from .metrics.registry import SOURCES

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def add_watch_flags(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    group = FlagGroup(parser, "what is told")
    group.value("--log-level", one_of(*_LEVELS), "LEVEL", "what is logged to standard error", default="INFO")
    group.value(
        "--log-format",
        one_of(*FORMATS),
        "FORMAT",
        "text, or json: an object a line, with the session and the request it is about",
        default="text",
    )
    group.value(
        "--audit-log",
        Path,
        "FILE",
        "append who did what to FILE, an object of JSON a line, readable by its owner alone",
        otherwise="nowhere",
    )
    group.value(
        "--metrics-sources",
        _sources,
        "NAMES",
        f"comma separated, of {', '.join(SOURCES)}",
        default=",".join(SOURCES),
    )
    group.value(
        "--metrics-port",
        port,
        "PORT",
        "serve the metrics for Prometheus there, without names; 0 for any free port",
        otherwise="nowhere",
    )
    group.value(
        "--metrics-host", str, "HOST", "address of that port, which asks nobody for a token", default="127.0.0.1"
    )


def _sources(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in SOURCES:
            close = get_close_matches(name, SOURCES, 1)
            advice = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(SOURCES)}"
            raise argparse.ArgumentTypeError(f"no metrics source is called {name!r}: {advice}")
    return names
