"""What kopf does for the operator: it watches, through 410s and restarts of the API server, and posts events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import kopf

from skytorch_operator.api import GROUP, VERSION
from skytorch_operator.objects import NAME_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skytorch_operator.keeper import Keepers


def registry(keepers: Keepers) -> kopf.OperatorRegistry:
    """Handlers that wake the keeper of whatever Compute something happened to; they decide nothing themselves."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.event(GROUP, VERSION, "computes", registry=handlers)
    async def compute(namespace: str | None, name: str, **_: Any) -> None:
        keepers.wake(str(namespace), name)

    @kopf.on.event("apps", "v1", "statefulsets", registry=handlers)
    @kopf.on.event("", "v1", "pods", registry=handlers)
    async def belonging(namespace: str | None, labels: Mapping[str, str], **_: Any) -> None:
        keepers.wake(str(namespace), labels[NAME_LABEL])

    kopf.on.login(registry=handlers)(kopf.login_via_async_client)

    @kopf.on.cleanup(registry=handlers)
    async def cleanup(**_: Any) -> None:
        await keepers.close()

    return handlers


def settings() -> kopf.OperatorSettings:
    """kopf's, for an operator that only listens."""
    chosen = kopf.OperatorSettings()
    # Not all pods of a cluster: those of Computes.
    chosen.watching.label_selectors["statefulsets"] = NAME_LABEL
    chosen.watching.label_selectors["pods"] = NAME_LABEL
    # That Computes are served is waited for before; to watch for more kinds would need further permissions.
    chosen.scanning.disabled = True
    chosen.posting.reporting_component = "skytorch-operator"
    chosen.posting.event_name_prefix = "skytorch-"
    # Events are worth little later, and an operator that is to stop waits for them.
    chosen.posting.default_backoffs = (1, 2, 4)
    chosen.networking.connect_timeout = 10
    return chosen


def tell(compute: dict[str, Any], kind: str, reason: str, message: str) -> None:
    """Posts an event of a Compute; `kind` is Normal or Warning."""
    kopf.event(kopf.Body(cast("kopf.RawBody", compute)), type=kind, reason=reason, message=message)
