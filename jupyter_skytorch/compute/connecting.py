"""connect(): from a name or an address to a Compute with a live session."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jupyter_skytorch.device import ConnectError
from jupyter_skytorch.session import control as control_thread

from . import address as address_provider
from . import kubernetes as kubernetes_provider
from . import local as local_provider
from . import registry
from .compute import Compute
from .encryption import Encryption
from .handshake import UnreachableError, create_session
from .names import check_name, check_provider, check_target
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
from .terms import Terms
from .waiting import waiting

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from jupyter_skytorch.session.control import Control

    from .handshake import Handshake
    from .place import Place

__all__ = ["connect"]

_CONNECT_SECONDS = 120.0
_READY_SECONDS = 300.0
"""A cluster may have to find a node and fetch an image."""


def connect(
    target: str | None = None,
    *,
    name: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    token: str | None = None,
    ca: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    insecure: bool = False,
    provider: str | None = None,
    idle_timeout: float | None = None,
    max_age: float | None = None,
    memory: int | str | None = None,
    timeout: float | None = None,
    reconnect_timeout: float = RECONNECT_SECONDS,
    **wanted: Unpack[kubernetes_provider.Specification],
) -> Compute:
    """Connect to a server and make it the current Compute.

    `target` is None or "local" for the embedded server, which is started when it does not run; an address,
    "grpcs://host:port" (within TLS), "grpc://host:port" or "unix:/path"; or the name of a Compute of this process. What
    is connected under that name already is returned; what was lost is connected to anew.

    `name` is what the Compute is called. `token_file` holds the server's token (else SKYTORCH_TOKEN is used).
    `ca` is the file of the authority that the server's certificate comes from, where that is none that this machine
    trusts anyway; `cert` and `key` are the client's own, for servers that ask for it.
    `insecure` allows a connection to another machine that is not encrypted. `provider`, "local" or "address", is told
    by the target and need not be given. `timeout` in seconds bounds the whole (120, and 300 in Kubernetes); a wrong
    address is told within 5 s.
    `reconnect_timeout` in seconds is how long a connection that broke is tried again before the session is given up.

    A new session asks to live on for `idle_timeout` seconds without its kernel, to live for `max_age` seconds in all,
    and for `memory` for its tensors on each device (bytes, or as "8GiB"). The server has bounds, and defaults for what
    isn't asked for; ``Compute.status().session`` is what was granted.

    With the provider "kubernetes", `target` is the name of a Compute in a cluster. It is made, or changed, as `wanted`
    says: the arguments of :class:`Compute`. Without an image it exists already; it is resumed if it was suspended.

    Raises ConnectError, one line.
    """
    refuse_forked()
    earlier = registry.computes().get(target or "")
    in_kubernetes = (provider or (earlier and earlier.provider)) == kubernetes_provider.NAME
    timeout = timeout or (_READY_SECONDS if in_kubernetes else _CONNECT_SECONDS)
    deadline = time.monotonic() + timeout
    with one_line_errors():
        terms = Terms.of(idle_timeout, max_age, memory)
        check_provider(provider, target)
        if in_kubernetes:
            check_allowed(kubernetes_provider.NAME)
            other = name if name != target else None
            unknown = {"name": other, "token_file": token_file, "token": token, "ca": ca, "cert": cert, "key": key}
            _refuse(unknown, "does not go with the provider 'kubernetes'")
            return _in_kubernetes(str(target), earlier, wanted, terms, timeout, reconnect_timeout)
        _refuse(wanted, "is for Computes in Kubernetes: say provider='kubernetes' (--provider kubernetes)")
    with one_line_errors(), one_at_a_time(timeout):
        if earlier is not None:
            name = name or earlier.name
            place = None if earlier.provider == local_provider.NAME else earlier.place
        elif target is None or target == local_provider.NAME:
            place = None
        else:
            check_target(target)
            encryption = Encryption.of(ca, cert, key)
            place = address_provider.locate(
                target, token=token, token_file=token_file, encryption=encryption, insecure=insecure
            )
        check_allowed(place.provider if place else local_provider.NAME)
        name = check_name(name) if name else (place.name if place else local_provider.NAME)
        existing = registry.computes().get(name)
        if existing is not None and existing.state == "connected":
            return _again(existing, place)
        with waiting(f"connecting to {name}") as say:
            compute = _connect(place, name, terms, deadline, say, reconnect_timeout)
        if existing is not None:
            existing.close()
        registry.add(compute)
        return compute


def _refuse(arguments: Mapping[str, object], why: str) -> None:
    given = next((name for name, value in arguments.items() if value is not None), None)
    if given is not None:
        raise ConnectError(f"{given} {why}")


def _in_kubernetes(
    name: str,
    earlier: Compute | None,
    wanted: kubernetes_provider.Specification,
    terms: Terms,
    timeout: float,
    reconnect_timeout: float,
) -> Compute:
    if earlier is None or wanted or earlier.provider != kubernetes_provider.NAME:
        try:
            compute = Compute(name, **wanted)
        except (ImportError, ValueError) as error:
            raise ConnectError(str(error)) from None
    else:
        compute = earlier
    compute.connect(terms=terms, timeout=timeout, reconnect_timeout=reconnect_timeout, resume="suspend" not in wanted)
    return registry.use(name)


def _again(existing: Compute, place: Place | None) -> Compute:
    same = existing.provider == local_provider.NAME if place is None else existing.place.address == place.address
    if not same:
        raise ConnectError(
            f"the name {existing.name!r} stands for {existing.address}; disconnect it, or give another name"
        )
    return registry.use(existing.name)


def _connect(
    place: Place | None,
    name: str,
    terms: Terms,
    deadline: float,
    say: Callable[[str], None],
    reconnect_timeout: float,
) -> Compute:
    control = control_thread.get()
    close_at_exit()
    try:
        handshake = _shake_hands(place, name, terms, control, deadline, say)
    except UnreachableError as error:
        if place is not None:
            raise ConnectError(str(error)) from None
        # The embedded server ended in between, for want of sessions: this time a new one is started.
        handshake = _shake_hands(place, name, terms, control, deadline, say)
    return Compute.of(open_connection(name, handshake, control, reconnect_timeout))


def _shake_hands(
    place: Place | None, name: str, terms: Terms, control: Control, deadline: float, say: Callable[[str], None]
) -> Handshake:
    if place is None:
        place = control.run(local_provider.locate(left(deadline), say), left(deadline) + 1.0)
    return control.run(create_session(place, name, terms, left(deadline)), left(deadline) + 1.0)
