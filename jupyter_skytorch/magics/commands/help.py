"""List the commands, or explain one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics import registry

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("command", nargs="?", metavar="COMMAND", completer=registry.names, explain="a command of %%sky")


def run(options: argparse.Namespace, _magics: SkyMagics) -> None:
    """Show."""
    if options.command is not None:
        tell(registry.find(options.command).parser().format_help())
        return
    width = max(map(len, registry.names()))
    lines = [f"%sky {name.ljust(width)}  {registry.find(name).summary}" for name in registry.names()]
    cell = (
        "%%sky [NAME]".ljust(width + 5)
        + "  Run a cell with sky as its default device; --as-cuda: and as its CUDA device."
    )
    tell("\n".join([*lines, cell, "", "%sky COMMAND --help explains a command."]))
