"""Computes as a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from .quantities import count, duration, size
from .table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_skytorch.compute import Compute
    from jupyter_skytorch.compute.kubernetes.inventory import Use
    from jupyter_skytorch.compute.kubernetes.summary import Summary

__all__ = ["Listed", "computes_table", "resources_text"]

_HERE = ("", "Compute", "state", "provider", "address")
_IN_CLUSTER = ("namespace", "may take", "ready for", "sessions", "last used", "computed", "holds")
_SHORT = {"cpu": "CPU", "memory": "", "nvidia.com/gpu": "GPU"}


@dataclass(frozen=True)
class Listed:
    """One Compute of a list."""

    name: str
    state: str
    """With the reason, where there is one."""
    provider: str
    address: str
    compute: Compute | None
    """This notebook's; None where it isn't connected."""
    is_current: bool = False
    summary: Summary | None = None
    """As its cluster has it; None where it isn't in one."""
    use: Use | None = None
    """What its server told; None where it wasn't asked."""

    @classmethod
    def of_compute(cls, compute: Compute, summary: Summary | None, use: Use | None, is_current: bool) -> Self:
        """One of this notebook's."""
        state, reason = compute.state, compute.reason
        if summary is not None and state == "lost" and summary.state != "ready":
            state, reason = summary.state, summary.reason
        return cls(
            compute.name, _said(state, reason), compute.provider, compute.address, compute, is_current, summary, use
        )

    @classmethod
    def of_cluster(cls, summary: Summary, use: Use | None) -> Self:
        """One that only the cluster knows."""
        state = _said(summary.state, summary.reason)
        return cls(summary.name, state, "kubernetes", summary.address, None, summary=summary, use=use)


def computes_table(found: Sequence[Listed]) -> Table[Listed]:
    """One row a Compute; what only clusters tell has columns where there is one of a cluster."""
    if not any(each.summary for each in found):
        return Table(found, _HERE, _here, empty="Nothing is connected: %sky connect")
    headers = (*_HERE[:3], *_IN_CLUSTER)
    # Where it is in a cluster, its address follows from its name.
    return Table(found, headers, lambda each: (*_here(each)[:3], *_in_cluster(each)), empty="")


def resources_text(resources: dict[str, str]) -> str:
    """Describe amounts: "4 CPU, 16Gi, 1 GPU"."""
    ordered = sorted(resources.items(), key=lambda each: [*_SHORT, each[0]].index(each[0]))
    return ", ".join(f"{amount} {_SHORT.get(name, name)}".strip() for name, amount in ordered)


def _here(listed: Listed) -> tuple[str, ...]:
    return "▸" if listed.is_current else "", listed.name, listed.state, listed.provider, listed.address


def _in_cluster(listed: Listed) -> tuple[str, ...]:
    summary, use = listed.summary, listed.use
    if summary is None:
        return (f"({listed.provider})", "", "", "", "", "", "")
    last = use.last_activity if use is not None else summary.last_activity
    return (
        summary.namespace,
        resources_text(summary.resources),
        _since(summary.ready_since),
        _sessions(summary, use),
        f"{_since(last)} ago" if last is not None else "",
        duration(use.busy_seconds) if use is not None and use.busy_seconds else "",
        size(use.held_bytes) if use is not None and use.sessions else "",
    )


def _sessions(summary: Summary, use: Use | None) -> str:
    if use is None:
        return "" if summary.sessions is None else str(summary.sessions)
    return f"{use.sessions}" + (f" ({count(use.orphans, 'orphan')})" if use.orphans else "")


def _since(moment: datetime | None) -> str:
    return "" if moment is None else duration(max((datetime.now(UTC) - moment).total_seconds(), 0.0))


def _said(state: str, reason: str) -> str:
    return f"{state}: {reason}" if reason else state
