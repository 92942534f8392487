"""The cluster's events about a Compute and what belongs to it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .following import follow

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kubernetes_asyncio.client import CoreV1Event

    from .api import Api
    from .errors import KubernetesError

__all__ = ["follow_events", "log_event"]

_LEVELS = {"Normal": logging.INFO, "Warning": logging.WARNING}
_log = logging.getLogger("jupyter_skytorch.events")


def log_event(event: CoreV1Event) -> None:
    """Log an event, as ``jupyter_skytorch.events``: normal ones at INFO, warnings at WARNING, all else at ERROR.

    For ``Compute(..., on_events=log_event)``.
    """
    about = event.involved_object
    said = " ".join((event.message or "").split())
    _log.log(_LEVELS.get(event.type, logging.ERROR), "%s %s: %s: %s", about.kind, about.name, event.reason, said)


async def follow_events(
    api: Api, namespace: str, name: str, begun: asyncio.Event, tell: Callable[[CoreV1Event], None]
) -> None:
    """Tell of each event about the object of a name, from when `begun` is set on, until cancelled."""
    seen: dict[str, str] = {}

    def happened(kind: str, event: dict[str, Any]) -> None:
        metadata = event["metadata"]
        if kind == "DELETED":
            seen.pop(metadata["uid"], None)
        elif seen.get(metadata["uid"]) != metadata["resourceVersion"]:
            seen[metadata["uid"]] = metadata["resourceVersion"]
            if begun.is_set():
                tell(api.event(event))

    def found(events: list[dict[str, Any]]) -> None:
        for event in events:
            happened("ADDED", event)
        begun.set()

    def trouble(error: KubernetesError | None) -> None:
        if error is not None and not begun.is_set():
            _log.warning("events about %s can't be seen: %s", name, error)
        begun.set()

    await follow(
        api,
        f"/api/v1/namespaces/{namespace}/events",
        f"watch events in {namespace!r}",
        {"fieldSelector": f"involvedObject.name={name}"},
        found=found,
        changed=happened,
        trouble=trouble,
    )
