"""Write what is saved in the session to its server's disk, where it outlives the server; %sky restore brings it back.

The server has to be started with --checkpoint-dir.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.display.quantities import count, size
from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics.names import chosen

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "name", nargs="?", metavar="NAME", explain="what to call it, otherwise as the Compute; an older one is replaced"
    )
    parser.argument("objects", nargs="*", metavar="OBJECT", explain="what to write, otherwise all that is saved")
    parser.argument("--delete", action="store_true", explain="delete the checkpoint NAME instead")


def run(options: argparse.Namespace, _magics: SkyMagics) -> None:
    """Write it."""
    compute = chosen(None)
    if options.delete:
        compute.delete_checkpoint(options.name or compute.name)
        return
    written = compute.checkpoint(options.name, options.objects)
    what = f"{count(len(written.objects), 'object')}, {size(written.bytes)}"
    tell(f"{written.name} is on the disk of {compute.name}: {what}")
