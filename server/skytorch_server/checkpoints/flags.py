"""The flags of the server that say where checkpoints are kept, and how many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from skytorch_server.arguments import FlagGroup, positive_int, size

if TYPE_CHECKING:
    import argparse


def add_checkpoint_flags(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    group = FlagGroup(parser, "checkpoints", "named objects of sessions on this machine's disk")
    group.value(
        "--checkpoint-dir",
        Path,
        "FOLDER",
        "where they are kept, a folder for each principal; those of living sessions are written there when the server "
        "stops",
        otherwise="nowhere",
    )
    group.value("--max-checkpoints", positive_int, "N", "that a principal may keep", default="16")
    group.value("--max-checkpoint-bytes", size, "SIZE", "that a principal's take in all", default="64GiB")
