"""Have a suspended Compute in Kubernetes run again, wait until it is ready, and make it the current Compute.

Its volumes are as they were; sessions begin anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.magics import provisioned, provisioning
from jupyter_skytorch.magics.parser import seconds

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute import Compute
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("name", metavar="NAME", completer=provisioned.names, explain="a Compute in Kubernetes")
    parser.argument("--namespace", metavar="NAMESPACE", explain="where it is; otherwise as `%%sky connect` has it")
    parser.argument("--timeout", type=seconds, metavar="TIME", explain="how long it may take in all")


def run(options: argparse.Namespace, magics: SkyMagics) -> Compute:
    """Resume."""
    compute = provisioned.existing(options.name, options.namespace, magics)
    return provisioning.wait_for(compute, options.timeout, provisioning.terms_of(magics), magics)
