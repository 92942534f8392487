"""attach(): this process takes over a session that another one had, with what it kept there by name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jupyter_skytorch.device.errors import ConnectError
from jupyter_skytorch.session import control as control_thread

from . import registry
from .connecting import (
    RECONNECT_SECONDS,
    close_at_exit,
    left,
    one_at_a_time,
    one_line_errors,
    open_session,
    refuse_forked,
)
from .credentials import resolve
from .handshake import take_over_session
from .known import find_place
from .names import check_name
from .waiting import waiting

if TYPE_CHECKING:
    import os

    from .compute import Compute

__all__ = ["attach"]

_ATTACH_SECONDS = 60.0


def attach(
    session_id: str,
    *,
    name: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    token: str | None = None,
    timeout: float = _ATTACH_SECONDS,
    reconnect_timeout: float = RECONNECT_SECONDS,
) -> Compute:
    """Take over a session of yours that another kernel had, and make it the current Compute.

    `session_id` is one that ``%sky sessions`` shows, of a server that this user's notebooks know. What the session
    holds by a name is there, to be loaded; all else of it is freed. A kernel that still has it is told.

    `name` is what the Compute is called; otherwise what the session was. `token_file` or `token` is the server's token
    where it can't be found by itself. `timeout` in seconds bounds the whole, `reconnect_timeout`
    how long a connection that broke is tried again.

    Raises ConnectError, one line.
    """
    refuse_forked()
    deadline = time.monotonic() + timeout
    with one_line_errors(), one_at_a_time(timeout):
        for compute in registry.computes().values():
            if compute.session.id == session_id and compute.state == "connected":
                return registry.use(compute.name)
        credential = resolve(token=token, token_file=token_file) if token or token_file else None
        control = control_thread.get()
        close_at_exit()
        place, called = control.run(find_place(session_id, credential), left(deadline))
        name = check_name(name or called)
        existing = registry.computes().get(name)
        if existing is not None and existing.state == "connected":
            raise ConnectError(f"the name {name!r} stands for {existing.address}; give another one with name (--name)")
        with waiting(f"attaching to {name}"):
            handshake = control.run(take_over_session(place, session_id, name, left(deadline)), left(deadline) + 1.0)
            compute = open_session(name, handshake, control, reconnect_timeout, begin=True)
        if existing is not None:
            existing.close()
        registry.add(compute)
        return compute
