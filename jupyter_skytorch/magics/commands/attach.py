"""Take over a session of yours that another kernel had, with what it keeps by name, and make it the current Compute.

%sky sessions lists them. What has no name is freed, and a kernel that still has the session is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.compute import attach
from jupyter_skytorch.magics.names import session_ids

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute import Compute
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("session", metavar="ID", completer=session_ids, explain="the session's id")
    parser.argument("--name", metavar="NAME", explain="what to call the Compute; otherwise as the session was called")
    parser.argument("--token-file", metavar="FILE", explain="the file that holds the server's token")


def run(options: argparse.Namespace, _magics: SkyMagics) -> Compute:
    """Attach."""
    return attach(options.session, name=options.name, token_file=options.token_file)
