"""Suspend a Compute in Kubernetes: nothing of it runs, its volumes are kept, and %sky resume brings it back.

This notebook's session on it is closed, and its tensors are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics import provisioned
from jupyter_skytorch.magics.names import chosen

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "name",
        nargs="?",
        metavar="NAME",
        completer=provisioned.names,
        explain="a Compute in Kubernetes; otherwise the current one",
    )
    parser.argument("--namespace", metavar="NAMESPACE", explain="where it is; otherwise as `%%sky connect` has it")


def run(options: argparse.Namespace, magics: SkyMagics) -> None:
    """Suspend."""
    name = options.name or chosen(None).name
    compute = provisioned.existing(name, options.namespace, magics)
    provisioned.done(compute.suspend(), f"suspending {name}")
    tell(f"{name} is suspended: nothing of it runs, its volumes are kept; %sky resume {name} brings it back")
