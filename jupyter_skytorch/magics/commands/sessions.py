"""List your sessions at all servers that are known here, those of other notebooks and of dead kernels among them.

A session is named by its id, or by the beginning of it. One whose kernel is dead (an orphan) stays until its lease
runs out, so that it can be kept, or closed to free its memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.compute.registry import computes, current, servers
from jupyter_skytorch.compute.survey import KnownServer, close, find, keep, survey
from jupyter_skytorch.display.sessions import sessions_table
from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics.names import chosen, compute_names
from jupyter_skytorch.session import control

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute.survey import KnownSession
    from jupyter_skytorch.display.table import Table
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics

_SECONDS = 15.0


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "name", nargs="?", metavar="NAME", completer=compute_names, explain="a Compute: only those on its server"
    )
    parser.argument("--close", metavar="ID", explain="end a session, and free what it holds")
    parser.argument("--keep", metavar="ID", explain="renew a session's lease")


def run(options: argparse.Namespace, _magics: SkyMagics) -> Table[KnownSession] | None:
    """Ask."""
    run_now = control.get().run
    # Of a token that only a kernel has, the servers of this kernel are all that can be asked.
    found = run_now(survey(servers()), _SECONDS)
    if options.close:
        known = find(found, options.close)
        mine = [compute for compute in computes().values() if compute.session().id == known.session_id]
        if mine:
            mine[0].close()
        else:
            run_now(close(known), _SECONDS)
        tell(f"closed session {known.session_id} on {known.name}")
        return None
    if options.keep:
        known = run_now(keep(find(found, options.keep)), _SECONDS)
        found = [known]
    elif options.name is not None:
        server = KnownServer.of_place(chosen(options.name).place)
        found = [known for known in found if known.server.address == server.address]
    here = current()
    return sessions_table(found, mine=here.session().id if here is not None else "")
