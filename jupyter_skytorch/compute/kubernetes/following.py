"""What the cluster has, as it changes: a list, then a watch, then whatever a broken watch asks for."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from .errors import GoneError, KubernetesError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .api import Api

__all__ = ["follow"]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0


async def follow(
    api: Api,
    path: str,
    doing: str,
    query: Mapping[str, str],
    *,
    found: Callable[[list[dict[str, Any]]], None],
    changed: Callable[[str, dict[str, Any]], None],
    trouble: Callable[[KubernetesError | None], None],
) -> None:
    """Tell what there is, and what changes, until cancelled.

    `found` gets all that there is, at first and whenever a watch can't go on where it stopped; `changed` each event of
    a watch; `trouble` what keeps it from seeing, and None when it sees again.
    """
    pause = _SHORTEST_PAUSE
    version = ""
    while True:
        try:
            if not version:
                listed = await api.call("GET", path, doing, query=query)
                found(listed.get("items") or [])
                version = listed["metadata"]["resourceVersion"]
            trouble(None)
            async with aclosing(api.watch(path, doing, {**query, "resourceVersion": version})) as events:
                async for kind, thing in events:
                    version = thing["metadata"]["resourceVersion"]
                    pause = _SHORTEST_PAUSE
                    if kind != "BOOKMARK":
                        changed(kind, thing)
            pause = _SHORTEST_PAUSE
        except GoneError:
            version = ""
        except KubernetesError as error:
            trouble(error)
            pause = min(pause * 2, _LONGEST_PAUSE)
        await asyncio.sleep(pause * random.uniform(0.7, 1.0))  # noqa: S311  (so that not all come back together)
