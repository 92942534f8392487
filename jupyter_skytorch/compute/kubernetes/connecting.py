"""From a Compute that is ready in its cluster to a session on its server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from jupyter_skytorch.compute.handshake import UnreachableError, create_session

if TYPE_CHECKING:
    from jupyter_skytorch.compute.handshake import Handshake
    from jupyter_skytorch.compute.terms import Terms

    from .provision import Provision

__all__ = ["shake_hands"]

_SETTLE_SECONDS = 6.0
"""How long after it is ready its name may be unknown, and its pod be refused by what stands in between."""
_PAUSE_SECONDS = 0.3


async def shake_hands(provision: Provision, terms: Terms, seconds: float) -> Handshake:
    """Make a session, within a number of seconds. Raises KubernetesError and what :func:`create_session` does."""
    deadline = time.monotonic() + seconds
    patience = time.monotonic() + min(seconds, _SETTLE_SECONDS)
    place = await provision.place()
    while True:
        try:
            return await create_session(place, provision.name, terms, max(deadline - time.monotonic(), 0.1))
        except UnreachableError as error:
            if time.monotonic() > patience:
                trouble = provision.trouble
                raise UnreachableError(
                    f"{provision.name} can't be reached: {trouble}" if trouble else str(error)
                ) from None
        await asyncio.sleep(_PAUSE_SECONDS)
