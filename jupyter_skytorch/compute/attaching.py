"""attach(): this process takes over a session that another one had, with what it kept there by name."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from jupyter_skytorch.device.errors import ConnectError
from jupyter_skytorch.session import control as control_thread

from . import kubernetes, records, registry
from .compute import Compute
from .credentials import resolve
from .handshake import take_over_session
from .names import check_name
from .opening import (
    RECONNECT_SECONDS,
    close_at_exit,
    left,
    one_at_a_time,
    one_line_errors,
    open_connection,
    refuse_forked,
)
from .providers import check_allowed
from .survey import KnownServer, SurveyError, find, survey
from .waiting import waiting

if TYPE_CHECKING:
    import os

    from .kubernetes.provision import Provision
    from .place import Place

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

    `session_id` is one that ``%sky sessions`` shows, or its beginning. What the session
    holds by a name is there, to be loaded; all else of it is freed. A kernel that still has it is told.

    `name` is what the Compute is called; otherwise what the session was. `token_file` or `token` is the server's token
    where it can't be found by itself. `timeout` in seconds bounds the whole, `reconnect_timeout`
    how long a connection that broke is tried again.

    Raises ConnectError, one line.
    """
    refuse_forked()
    deadline = time.monotonic() + timeout
    with one_line_errors(), one_at_a_time(timeout):
        control = control_thread.get()
        close_at_exit()
        try:
            known = find(control.run(survey(_servers(token, token_file)), left(deadline)), session_id)
        except SurveyError as error:
            raise ConnectError(f"{error}; %sky sessions lists yours") from None
        for compute in registry.computes().values():
            if compute.session().id == known.session_id and compute.state == "connected":
                return registry.use(compute.name)
        name = check_name(name or known.name or str(known.server.address))
        existing = registry.computes().get(name)
        if existing is not None and existing.state == "connected":
            raise ConnectError(f"the name {name!r} stands for {existing.address}; give another one with name (--name)")
        with waiting(f"attaching to {name}"):
            place = control.run(known.server.place(), left(deadline))
            check_allowed(place.provider)
            provision = control.run(_provision(place), left(deadline))
            handshake = control.run(
                take_over_session(place, known.session_id, name, left(deadline)), left(deadline) + 1.0
            )
            connection = open_connection(name, handshake, control, reconnect_timeout, begin=True)
            compute = Compute.of(connection, provision)
        if existing is not None:
            existing.close()
        registry.add(compute)
        return compute


async def _provision(place: Place) -> Provision | None:
    """What is behind a server in Kubernetes."""
    if place.provider != kubernetes.NAME:
        return None
    from .kubernetes.locating import refers_to
    from .kubernetes.provision import Provision

    namespace, name = refers_to(place.credential)
    host = None if place.via is not None else place.address.host
    return await Provision.make(name, kubernetes.Specification(namespace=namespace, host=host))


def _servers(token: str | None, token_file: str | os.PathLike[str] | None) -> list[KnownServer]:
    """Those of this process, and with a token that is given, those of all kernels of this machine."""
    servers = registry.servers()
    if token or token_file:
        credential, secret = resolve(token=token, token_file=token_file)
        recorded = [server for record in records.read_all() if (server := KnownServer.of(record))]
        servers += [replace(server, credential=credential, token=secret) for server in recorded]
    return servers
