"""Watch a Compute's metrics and session in the cell, for as long as the output is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def run(options: argparse.Namespace, _magics: SkyMagics) -> object:
    """Show."""
    from jupyter_skytorch.display.monitor import Monitor

    return Monitor(chosen(options.name))
