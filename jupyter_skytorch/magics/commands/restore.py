"""List the checkpoints on the server's disk, or bring the objects of one back into the session, for %sky load."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jupyter_skytorch.display.quantities import duration, size
from jupyter_skytorch.display.table import Table
from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics.names import chosen

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics
    from skytorch_wire import sessions_pb2


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("name", nargs="?", metavar="NAME", explain="a checkpoint; without it, those that there are")
    parser.argument("objects", nargs="*", metavar="OBJECT", explain="what to bring back, otherwise all of it")


def run(options: argparse.Namespace, _magics: SkyMagics) -> Table[sessions_pb2.Checkpoint] | None:
    """Restore, or ask."""
    compute = chosen(None)
    if options.name is None:
        headers = ("checkpoint", "of", "objects", "age", "size")
        return Table(compute.checkpoints(), headers, _row, empty=f"There is no checkpoint on {compute.name}")
    names = compute.restore(options.name, options.objects)
    tell(f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} back on {compute.name}: %sky load {names[0]}")
    return None


def _row(checkpoint: sessions_pb2.Checkpoint) -> tuple[str, ...]:
    age = duration(max(time.time() - checkpoint.created.ToSeconds(), 0.0))
    return checkpoint.name, checkpoint.session_name, ", ".join(checkpoint.objects), age, size(checkpoint.bytes)
