"""List this notebook's Computes, the current one marked, and those in Kubernetes, connected or not.

Of those in Kubernetes it is said what they may take, since when they are ready, how many sessions they have (an orphan
is one whose kernel died), when they were used last, what they have computed and what their tensors take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.display.computes import computes_table
from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics.listing import listing

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.display.computes import Listed
    from jupyter_skytorch.display.table import Table
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("--namespace", metavar="NAMESPACE", explain="those in Kubernetes in that namespace")
    parser.argument("--all-namespaces", action="store_true", explain="those in Kubernetes in all namespaces")


def run(options: argparse.Namespace, magics: SkyMagics) -> Table[Listed]:
    """List."""
    found, trouble = listing(options.namespace, everywhere=options.all_namespaces, magics=magics)
    if trouble:
        tell(f"Computes in Kubernetes are not listed: {trouble}")
    return computes_table(found)
