"""Delete a Compute in Kubernetes, with whatever its sessions hold; its volumes stay in the cluster.

Asks first, unless --yes is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError, UsageError

from jupyter_skytorch.compute.kubernetes.summary import Summary
from jupyter_skytorch.display.quantities import count
from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics import provisioned

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute import Compute
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("name", metavar="NAME", completer=provisioned.names, explain="a Compute in Kubernetes")
    parser.argument("--namespace", metavar="NAMESPACE", explain="where it is; otherwise as `%%sky connect` has it")
    parser.argument("--yes", action="store_true", explain="don't ask")


def run(options: argparse.Namespace, magics: SkyMagics) -> None:
    """Delete."""
    name = options.name
    compute = provisioned.existing(name, options.namespace, magics)
    summary = Summary.of(compute.resource) if compute.resource is not None else None
    if not options.yes and not _agreed(compute, summary):
        tell(f"{name} stays")
        return
    provisioned.done(compute.delete(), f"deleting {name}")
    provisioned.forget(name)
    kept = ""
    if summary is not None and summary.volumes:
        kept = (
            f"; {count(len(summary.volumes), 'volume')} of it stay{'s' if len(summary.volumes) == 1 else ''}: kubectl "
            f"delete pvc -n {summary.namespace} -l compute.skytorch.dev/name={name} deletes what they hold"
        )
    tell(f"{name} is deleted{kept}")


def _agreed(compute: Compute, summary: Summary | None) -> bool:
    where = f" in the namespace {summary.namespace}" if summary is not None else ""
    used = f", which has {count(summary.sessions, 'session')}" if summary is not None and summary.sessions else ""
    try:
        answer = input(f"Delete the Compute {compute.name}{where}{used}? [y/N] ")
    except (StdinNotImplementedError, EOFError):
        raise UsageError(f"nobody can be asked here: %sky delete {compute.name} --yes deletes it") from None
    return answer.strip().lower() in {"y", "yes"}
