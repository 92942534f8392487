"""From a Compute that is ready in its cluster to a session on its server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from jupyter_skytorch.compute import registry
from jupyter_skytorch.compute.handshake import UnreachableError, create_session
from jupyter_skytorch.compute.opening import (
    close_at_exit,
    left,
    one_at_a_time,
    one_line_errors,
    open_connection,
    refuse_forked,
)
from jupyter_skytorch.compute.waiting import waiting
from jupyter_skytorch.device.errors import ConnectError
from jupyter_skytorch.session import control as control_thread

if TYPE_CHECKING:
    from jupyter_skytorch.compute.compute import Compute
    from jupyter_skytorch.compute.connection import Connection
    from jupyter_skytorch.compute.handshake import Handshake
    from jupyter_skytorch.compute.terms import Terms

    from .provision import Provision

__all__ = ["connect"]

_RESUME_SECONDS = 60.0
_SETTLE_SECONDS = 6.0
"""How long after it is ready its name may be unknown, and its pod be refused by what stands in between."""
_PAUSE_SECONDS = 0.3


def connect(
    compute: Compute,
    provision: Provision,
    terms: Terms,
    timeout: float,
    reconnect_timeout: float,
    *,
    resume: bool,
) -> Connection:
    """Give a Compute a connection, unless one lives, when it is ready. Raises ConnectError.

    `timeout` in seconds bounds the whole; `resume`: also one that is suspended is waited for.
    """
    deadline = time.monotonic() + timeout
    control = control_thread.get()
    refuse_forked()
    with one_line_errors():
        with waiting(f"waiting for {compute.name}") as say:
            if resume and provision.state == "suspended":
                control.run(provision.suspend(suspend=False), _RESUME_SECONDS)
            control.run(provision.ready(timeout, say, with_events=True), timeout + 1.0)
        with one_at_a_time(left(deadline)):
            if compute.connection is not None and compute.connection.live:
                return compute.connection
            if (shared := _shared(compute, provision)) is not None:
                compute.connection = shared
                return shared
            compute.close()
            close_at_exit()
            with waiting(f"connecting to {compute.name}"):
                handshake = control.run(_shake_hands(provision, terms, left(deadline)), left(deadline) + 1.0)
                connection = open_connection(compute.name, handshake, control, reconnect_timeout)
            compute.connection = connection
            provision.tell_end(connection.session.lose)
            if (on_metrics := provision.wanted.get("on_metrics")) is not None:
                connection.tell_metrics(on_metrics)
            registry.add(compute)
            return connection


def _shared(compute: Compute, provision: Provision) -> Connection | None:
    """The connection that another object of this process has to the same Compute."""
    other = registry.computes().get(compute.name)
    if other is None or other.state != "connected":
        return None
    if other.provision is None or other.provision.same != provision.same:
        raise ConnectError(f"the name {compute.name!r} stands for {other.address}; disconnect it first")
    return other.connection


async def _shake_hands(provision: Provision, terms: Terms, seconds: float) -> Handshake:
    """Make a session, within a number of seconds. Raises KubernetesError and what :func:`create_session` does."""
    deadline = time.monotonic() + seconds
    patience = time.monotonic() + min(seconds, _SETTLE_SECONDS)
    place = await provision.place()
    while True:
        try:
            return await create_session(place, provision.name, terms, left(deadline))
        except UnreachableError as error:
            if time.monotonic() > patience:
                trouble = provision.trouble
                raise UnreachableError(
                    f"{provision.name} can't be reached: {trouble}" if trouble else str(error)
                ) from None
        await asyncio.sleep(_PAUSE_SECONDS)
