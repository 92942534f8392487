"""List what is kept in the session by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.display.quantities import size
from jupyter_skytorch.display.table import Table
from jupyter_skytorch.magics.names import chosen, compute_names

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics
    from skytorch_wire.objects import ObjectInfo


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "name", nargs="?", metavar="NAME", completer=compute_names, explain="a Compute; otherwise the current one"
    )


def run(options: argparse.Namespace, _magics: SkyMagics) -> Table[ObjectInfo]:
    """Ask."""
    compute = chosen(options.name)
    return Table(compute.objects(), ("object", "tensors", "holds"), _row, empty=f"Nothing is saved on {compute.name}")


def _row(info: ObjectInfo) -> tuple[str, ...]:
    return info.name, f"{info.storages:,}", size(info.storage_bytes)
