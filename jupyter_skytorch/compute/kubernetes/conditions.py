"""What a Compute's status says. Resources are as the API server has them, in JSON."""

from __future__ import annotations

from typing import Any

__all__ = ["hopeless", "is_ready", "observed", "phase", "reason", "since", "wants_suspension"]

#: Reasons of Degraded that time does not heal.
_HOPELESS = {"NameTaken", "NotAllowed", "Refused"}


def observed(resource: dict[str, Any]) -> bool:
    """Whether the operator has seen the resource as it is now."""
    generation = resource["metadata"].get("generation", 0)
    return bool((resource.get("status") or {}).get("observedGeneration", 0) >= generation)


def is_ready(resource: dict[str, Any] | None) -> bool:
    """Whether its server can be connected to."""
    return resource is not None and observed(resource) and _holds(resource, "Ready") and not _dying(resource)


def wants_suspension(resource: dict[str, Any]) -> bool:
    """Whether it is to be suspended."""
    return bool(resource["spec"].get("suspend"))


def phase(resource: dict[str, Any] | None) -> str:
    """One line on what is going on until it is ready."""
    if resource is None:
        return "it is being made"
    if _dying(resource):
        return "it is being deleted"
    if not observed(resource):
        return "the operator has not seen it yet"
    for kind in ("Degraded", "Ready"):
        found = _condition(resource, kind)
        if found.get("message") and (found.get("status") == "True") == (kind == "Degraded"):
            return " ".join(str(found["message"]).split())
    return "it is starting"


def since(resource: dict[str, Any], kind: str) -> str | None:
    """From when on a condition has been as it is, as the cluster writes times."""
    return _condition(resource, kind).get("lastTransitionTime")


def hopeless(resource: dict[str, Any]) -> str:
    """What keeps it from getting ready until somebody changes it; empty where waiting may help."""
    degraded = _condition(resource, "Degraded")
    if not observed(resource) or degraded.get("status") != "True" or degraded.get("reason") not in _HOPELESS:
        return ""
    return " ".join(str(degraded.get("message")).split())


def reason(resource: dict[str, Any] | None, seconds: float) -> str:
    """Why it isn't ready after so many seconds, and what to do."""
    if resource is None or not (resource.get("status") or {}).get("observedGeneration"):
        return f"nothing takes care of it for {seconds:g} s: is the operator running? kubectl get pods -A tells"
    return f"it isn't ready after {seconds:g} s: {phase(resource)}"


def _dying(resource: dict[str, Any]) -> bool:
    return "deletionTimestamp" in resource["metadata"]


def _holds(resource: dict[str, Any], kind: str) -> bool:
    return _condition(resource, kind).get("status") == "True"


def _condition(resource: dict[str, Any], kind: str) -> dict[str, Any]:
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == kind), {})
