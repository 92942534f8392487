"""Show how a Compute is: its server, its devices, and this notebook's session on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.magics.names import chosen, compute_names

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute import Status
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "name", nargs="?", metavar="NAME", completer=compute_names, explain="a Compute; otherwise the current one"
    )


def run(options: argparse.Namespace, _magics: SkyMagics) -> Status:
    """Ask."""
    return chosen(options.name).status()
