"""Make a connected Compute the current one: the one that `%%sky` runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.compute.registry import use
from jupyter_skytorch.magics.names import compute_names

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute import Compute
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("name", metavar="NAME", completer=compute_names, explain="a Compute that is connected")


def run(options: argparse.Namespace, _magics: SkyMagics) -> Compute:
    """Choose."""
    return use(options.name)
