"""Opening a session: what every way to a server has in common."""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jupyter_skytorch.device import ConnectError, core
from jupyter_skytorch.session import Session

from . import records, registry
from .channel import AddressError
from .connection import Connection
from .copying import destination
from .credentials import CredentialError
from .endpoint import ways
from .handshake import UnreachableError, abandon
from .kernel import session_record
from .kubernetes.errors import KubernetesError
from .local import LocalServerError
from .terms import TermsError
from .waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_skytorch.session.control import Control

    from .handshake import Handshake

__all__ = [
    "RECONNECT_SECONDS",
    "close_at_exit",
    "left",
    "one_at_a_time",
    "one_line_errors",
    "open_connection",
    "refuse_forked",
]

RECONNECT_SECONDS = 120.0
_EXIT_SECONDS = 1.0

_connecting = threading.RLock()


def open_connection(
    name: str, handshake: Handshake, control: Control, reconnect_timeout: float, *, begin: bool = False
) -> Connection:
    """Attach to a session, and write it down; `begin`: it was another kernel's. Raises ConnectError.

    `name` is the Compute's. A session that can't be attached to is given back, unless it was another kernel's.
    """
    try:
        return _attach(name, handshake, control, reconnect_timeout, begin=begin)
    except BaseException:
        if not begin:
            control.spawn(abandon(handshake))
        raise


def _attach(name: str, handshake: Handshake, control: Control, reconnect_timeout: float, *, begin: bool) -> Connection:
    created, place = handshake.created, handshake.place
    session = Session.open(
        ways=ways(created.endpoints, place.door, place.encryption, far=not place.address.loopback),
        created=created,
        metadata=handshake.metadata,
        control=control,
        front=handshake.channel,
        reconnect_timeout=reconnect_timeout,
        waiting=waiting,
        begin=begin,
        destination=destination(created.endpoints, place),
    )
    connection = Connection(name, handshake, session, control)
    records.write(session_record(connection))
    return connection


def refuse_forked() -> None:
    """Raise ConnectError in a forked child."""
    if core.in_forked_child():
        # Neither the stream nor gRPC survives a fork.
        raise ConnectError(
            "this process was forked off one that had a session, and can't have one of its own; "
            "start it by multiprocessing's method 'spawn' or 'forkserver'"
        )


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
    except (AddressError, CredentialError, KubernetesError, LocalServerError, TermsError, UnreachableError) as error:
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
