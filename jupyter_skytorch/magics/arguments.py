"""What may stand behind ``%%sky``."""

from __future__ import annotations

from .names import compute_names
from .parser import Parser

__all__ = ["cell_parser"]


def cell_parser() -> Parser:
    """Return the parser of the magic's own line."""
    parser = Parser("%%sky", "Run a cell with sky as its default device.")
    parser.argument(
        "name", nargs="?", metavar="NAME", completer=compute_names, explain="a Compute; otherwise the current one"
    )
    parser.argument(
        "--profile", action="store_true", explain="show where the cell's time goes: by line, by op, and what to do"
    )
    parser.argument("--as-cuda", action="store_true", explain='run code that says "cuda" on sky, in this cell alone')
    parser.argument(
        "--compile", action="store_true", explain="call modules on sky through torch.compile, in this cell alone"
    )
    return parser
