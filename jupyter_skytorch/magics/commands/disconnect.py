"""Close the session on a Compute and free what it holds there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics.names import chosen, compute_names

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "name", nargs="?", metavar="NAME", completer=compute_names, explain="a Compute; otherwise the current one"
    )


def run(options: argparse.Namespace, _magics: SkyMagics) -> None:
    """Close."""
    compute = chosen(options.name)
    compute.close()
    tell(f"disconnected from {compute.name}")
