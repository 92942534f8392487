"""What is worth knowing about a Compute at a glance, from the resource as the cluster has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import conditions
from .spec import DEFAULT_PORT, domain

if TYPE_CHECKING:
    from jupyter_skytorch.compute.status import State

__all__ = ["GPU", "Summary", "state_of"]

GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class Summary:
    """A Compute in Kubernetes at one moment."""

    name: str
    namespace: str
    state: State
    reason: str
    """What keeps it from being ready; empty when nothing does."""
    image: str
    resources: dict[str, str]
    """What it may take, by name, as Kubernetes writes amounts."""
    volumes: tuple[str, ...]
    port: int
    suspend_after: float
    """Seconds without use; 0: never."""
    ready_since: datetime | None
    """None when it isn't ready."""
    last_activity: datetime | None
    """When the operator saw last that somebody used it; None before that."""
    sessions: int | None
    """As the operator counted last; None before that."""

    @classmethod
    def of(cls, resource: dict[str, Any]) -> Summary:
        """Read the resource, which is JSON."""
        metadata, spec, status = resource["metadata"], resource["spec"], resource.get("status") or {}
        state = state_of(resource)
        asked = spec.get("resources") or {}
        return cls(
            name=str(metadata["name"]),
            namespace=str(metadata["namespace"]),
            state=state,
            reason="" if state in {"ready", "suspended"} else conditions.phase(resource),
            image=str(spec.get("image") or ""),
            resources={
                str(name): str(amount)
                for name, amount in ((asked.get("requests") or {}) | (asked.get("limits") or {})).items()
            },
            volumes=tuple(str(each["metadata"]["name"]) for each in spec.get("volumeClaimTemplates") or ()),
            port=int(spec.get("port") or DEFAULT_PORT),
            suspend_after=float(spec.get("idleTimeoutSeconds") or 0),
            ready_since=_time(conditions.since(resource, "Ready")) if state == "ready" else None,
            last_activity=_time(status.get("lastActivityTime")),
            sessions=int(status["sessions"]) if status.get("sessions") is not None else None,
        )

    @property
    def address(self) -> str:
        """Where its server is, seen from inside the cluster."""
        return f"grpcs://{domain(self.name, self.namespace)}:{self.port}"


def state_of(resource: dict[str, Any] | None) -> State:
    """How the cluster has it; "deleted" where there is none."""
    if resource is None:
        return "deleted"
    if conditions.wants_suspension(resource):
        return "suspended"
    return "ready" if conditions.is_ready(resource) else "pending"


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
