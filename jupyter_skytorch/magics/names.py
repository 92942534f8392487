"""Names of Computes, as arguments and as completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from jupyter_skytorch.compute.registry import computes, current, find

if TYPE_CHECKING:
    from jupyter_skytorch.compute import Compute

__all__ = ["chosen", "compute_names", "targets"]


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
    """Return what can be connected to by a word."""
    return sorted({"local", *computes()})
