"""The flags of the server that say where checkpoints are kept, and how many."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from skytorch_server.arguments import positive_int

if TYPE_CHECKING:
    import argparse


def add_checkpoint_flags(parser: argparse.ArgumentParser) -> None:
    """Declares the flags about checkpoints."""
    group = parser.add_argument_group("checkpoints", "named objects of sessions on this machine's disk")
    environment = os.environ.get
    group.add_argument(
        "--checkpoint-dir",
        type=Path,
        default=environment("SKYTORCH_CHECKPOINT_DIR") or None,
        metavar="FOLDER",
        help="where they are kept, a folder for each principal; those of living sessions are written there when the "
        "server stops (SKYTORCH_CHECKPOINT_DIR, default: nowhere)",
    )
    group.add_argument(
        "--max-checkpoints",
        type=positive_int,
        default=environment("SKYTORCH_MAX_CHECKPOINTS", "16"),
        metavar="N",
        help="that a principal may keep (SKYTORCH_MAX_CHECKPOINTS, default 16)",
    )
    group.add_argument(
        "--max-checkpoint-bytes",
        type=positive_int,
        default=environment("SKYTORCH_MAX_CHECKPOINT_BYTES", str(64 << 30)),
        metavar="BYTES",
        help="that a principal's take in all (SKYTORCH_MAX_CHECKPOINT_BYTES, default 64 GiB)",
    )
