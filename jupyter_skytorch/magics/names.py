"""Names of Computes, as arguments and as completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from jupyter_skytorch.compute.registry import computes, current, find, servers
from jupyter_skytorch.compute.survey import survey
from jupyter_skytorch.session import control

from . import provisioned

if TYPE_CHECKING:
    from jupyter_skytorch.compute import Compute

__all__ = ["chosen", "compute_names", "object_names", "session_ids", "targets"]

_LIST_SECONDS = 3.0
_CAUGHT_UP_SECONDS = 0.5


def chosen(name: str | None) -> Compute:
    """Return the Compute of a name, or the current one. Raises UnknownComputeError, UsageError when there is none."""
    if name is not None:
        return find(name)
    compute = current()
    if compute is None:
        raise UsageError("nothing is connected: %sky connect")
    return compute


def compute_names() -> list[str]:
    """Return the names of this process's Computes."""
    return sorted(computes())


def targets() -> list[str]:
    """Return what can be connected to by a word; what a cluster has is among it."""
    return sorted({"local", *computes(), *provisioned.names()})


def session_ids() -> list[str]:
    """Return the ids of the user's sessions that this process doesn't have."""
    own = {compute.session().id for compute in computes().values()}
    found = control.get().run(survey(servers()), _LIST_SECONDS)
    return sorted(known.session_id for known in found if known.session_id not in own)


def object_names() -> list[str]:
    """Return the names of what is saved on the current Compute; none while it is busy."""
    compute = current()
    if compute is None or compute.state != "connected" or not compute.session().drain(_CAUGHT_UP_SECONDS):
        return []
    return [info.name for info in compute.objects()]
