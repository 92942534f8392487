"""List your sessions on a Compute's server, those of other notebooks among them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jupyter_skytorch.display.quantities import duration, size
from jupyter_skytorch.display.table import Table
from jupyter_skytorch.magics.names import chosen, compute_names

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics
    from skytorch_wire import sessions_pb2


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "name", nargs="?", metavar="NAME", completer=compute_names, explain="a Compute; otherwise the current one"
    )


def run(options: argparse.Namespace, _magics: SkyMagics) -> Table[sessions_pb2.Session]:
    """Ask."""
    compute = chosen(options.name)

    def row(session: sessions_pb2.Session) -> tuple[str, ...]:
        mine = "▸" if session.session_id == compute.session.id else ""
        where = session.labels.get("notebook", "").rpartition("/")[2] or f"process {session.labels.get('pid', '?')}"
        age = duration(max(time.time() - session.created.ToNanoseconds() * 1e-9, 0.0))
        return mine, session.name, where, age, f"{session.stats.operations:,}", size(session.stats.storage_bytes)

    headers = ("", "session", "of", "age", "ops", "holds")
    return Table(compute.sessions(), headers, row, empty=f"There is no session on {compute.name}")
