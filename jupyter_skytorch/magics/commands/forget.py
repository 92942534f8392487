"""Take away the name that something was saved by; what nothing else holds of its tensors is freed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.magics.names import chosen, object_names

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("name", metavar="NAME", completer=object_names, explain="what it was saved by")


def run(options: argparse.Namespace, _magics: SkyMagics) -> None:
    """Forget it."""
    chosen(None).forget(options.name)
