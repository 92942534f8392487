"""``python -m bench [GROUP ...]``: measures, prints the table, keeps it as Markdown and JSON."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from . import report
from .rig import connected, machine, private_server

if TYPE_CHECKING:
    from .figure import Figure

GROUPS = (
    "ops",
    "where",
    "cell",
    "lines",
    "networks",
    "compiled",
    "latency",
    "bulk",
    "copies",
    "distance",
    "relay",
    "memory",
    "startup",
)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure sky beside local torch.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all by default")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what sky and local torch compute on")
    parser.add_argument(
        "--output", type=Path, default=Path("build/bench"), help="folder for results.md and results.json"
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.groups) - set(GROUPS)):
        parser.error(f"no group {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    figures: list[Figure] = []
    with private_server():
        for group in arguments.groups or GROUPS:
            print(f"measuring {group} ...", flush=True)
            # Imported one by one: not every group's needs are installed on a machine without Jupyter.
            module = importlib.import_module(f"bench.{group}")
            with connected(arguments.device) as rig:
                figures += module.measure(rig)
            described = machine()
            described["load"] = f"{described['load']} (1 min average at the end)"
            # After each: what is measured is there whatever becomes of the next.
            written = report.write(figures, described, arguments.output)
    print(f"\n{report.text(figures, described)}")
    for path in written:
        print(path)


if __name__ == "__main__":
    main()
