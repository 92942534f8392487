"""List the commands, or explain one."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics import registry

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics

# A narrow notebook breaks longer lines in the middle of words.
_COLUMNS = 80


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("command", nargs="?", metavar="COMMAND", completer=registry.names, explain="a command of %%sky")


def run(options: argparse.Namespace, _magics: SkyMagics) -> None:
    """Show."""
    if options.command is not None:
        tell(registry.find(options.command).parser().format_help())
        return
    width = max(map(len, registry.names()))
    explained = {f"%sky {name}": registry.find(name).summary for name in registry.names()}
    explained["%%sky [NAME]"] = "Run a cell with sky as its default device; --as-cuda: and as its CUDA device."
    lines = [_entry(written.ljust(width + 7), summary) for written, summary in explained.items()]
    tell("\n".join([*lines, "", "%sky COMMAND --help explains a command."]))


def _entry(written: str, summary: str) -> str:
    return textwrap.fill(summary, _COLUMNS, initial_indent=written, subsequent_indent=" " * len(written))
