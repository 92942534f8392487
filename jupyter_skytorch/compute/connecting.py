"""connect(): from a name or an address to a Compute with a live session."""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jupyter_skytorch.device import ConnectError, core
from jupyter_skytorch.session import Session
from jupyter_skytorch.session import control as control_thread

from . import address as address_provider
from . import local as local_provider
from . import records, registry
from .channel import AddressError
from .compute import Compute
from .credentials import CredentialError
from .encryption import Encryption
from .endpoint import ways
from .handshake import UnreachableError, abandon, create_session
from .kernel import session_record
from .local import LocalServerError
from .names import check_name, check_provider, check_target
from .terms import Terms, TermsError
from .waiting import waiting

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from jupyter_skytorch.session.control import Control

    from .handshake import Handshake
    from .place import Place

__all__ = ["connect"]

_CONNECT_SECONDS = 120.0
RECONNECT_SECONDS = 120.0
_EXIT_SECONDS = 1.0

_connecting = threading.Lock()


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
    timeout: float = _CONNECT_SECONDS,
    reconnect_timeout: float = RECONNECT_SECONDS,
) -> Compute:
    """Connect to a server and make it the current Compute.

    `target` is None or "local" for the embedded server, which is started when it does not run; an address,
    "grpcs://host:port" (within TLS), "grpc://host:port" or "unix:/path"; or the name of a Compute of this process. What
    is connected under that name already is returned; what was lost is connected to anew.

    `name` is what the Compute is called. `token_file` holds the server's token (else SKYTORCH_TOKEN is used).
    `ca` is the file of the authority that the server's certificate comes from, where that is none that this machine
    trusts anyway; `cert` and `key` are the client's own, for servers that ask for it.
    `insecure` allows a connection to another machine that is not encrypted. `provider`, "local" or "address", is told
    by the target and need not be given. `timeout` in seconds bounds the whole; a wrong address is told within 5 s.
    `reconnect_timeout` in seconds is how long a connection that broke is tried again before the session is given up.

    A new session asks to live on for `idle_timeout` seconds without its kernel, to live for `max_age` seconds in all,
    and for `memory` for its tensors on each device (bytes, or as "8GiB"). The server has bounds, and defaults for what
    isn't asked for; ``Compute.status().session`` is what was granted.

    Raises ConnectError, one line.
    """
    refuse_forked()
    deadline = time.monotonic() + timeout
    with one_line_errors(), one_at_a_time(timeout):
        terms = Terms.of(idle_timeout, max_age, memory)
        check_provider(provider, target)
        earlier = registry.computes().get(target or "")
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


def refuse_forked() -> None:
    """Raise ConnectError in a forked child."""
    if core.in_forked_child():
        # Neither the stream nor gRPC survives a fork.
        raise ConnectError(
            "this process was forked off one that had a session, and can't have one of its own; "
            "start it by multiprocessing's method 'spawn' or 'forkserver'"
        )


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
    try:
        return open_session(name, handshake, control, reconnect_timeout)
    except BaseException:
        control.spawn(abandon(handshake))
        raise


def open_session(
    name: str, handshake: Handshake, control: Control, reconnect_timeout: float, *, begin: bool = False
) -> Compute:
    """Attach to a session, and write it down; `begin`: it was another kernel's. Raises ConnectError."""
    created = handshake.created
    session = Session.open(
        ways=ways(created.endpoints, handshake.place.address, handshake.place.encryption),
        created=created,
        metadata=handshake.metadata,
        control=control,
        front=handshake.channel,
        reconnect_timeout=reconnect_timeout,
        waiting=waiting,
        begin=begin,
    )
    compute = Compute(name, handshake, session, control)
    records.write(session_record(compute))
    return compute


def _shake_hands(
    place: Place | None, name: str, terms: Terms, control: Control, deadline: float, say: Callable[[str], None]
) -> Handshake:
    if place is None:
        place = control.run(local_provider.locate(left(deadline), say), left(deadline) + 1.0)
    return control.run(create_session(place, name, terms, left(deadline)), left(deadline) + 1.0)


def left(deadline: float) -> float:
    """Seconds until then, never none."""
    return max(deadline - time.monotonic(), 0.1)


@contextmanager
def one_at_a_time(timeout: float) -> Iterator[None]:
    """One thread connects, others wait."""
    if not _connecting.acquire(timeout=timeout):
        raise ConnectError("another thread has been connecting for too long")
    try:
        yield
    finally:
        _connecting.release()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Whatever a wrong address, token or server raises becomes a ConnectError of one line."""
    try:
        yield
    except (AddressError, CredentialError, LocalServerError, TermsError, UnreachableError) as error:
        raise ConnectError(str(error)) from None
    except TimeoutError:
        raise ConnectError("the server did not answer in time") from None


def close_at_exit() -> None:
    """Have all Computes leave their servers when this process ends."""
    # Once, however often it is called; and after the control thread's own, so that this one runs before it.
    atexit.unregister(_close_all)
    atexit.register(_close_all)


def _close_all() -> None:
    deadline = time.monotonic() + _EXIT_SECONDS
    for compute in registry.computes().values():
        compute.close_at_exit(left(deadline))
