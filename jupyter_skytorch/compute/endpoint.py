"""Which of a session's endpoints to use: its own process where that is on this machine, else the front."""

from __future__ import annotations

import hmac
import os
import stat
from typing import TYPE_CHECKING

from .channel import Address, AddressError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skytorch_wire import sessions_pb2

__all__ = ["nearest"]

_SHORTEST_NONCE = 16
_LONGEST_NONCE = 1024


def nearest(endpoints: Iterable[sessions_pb2.Endpoint], front: Address) -> tuple[str, str]:
    """Return the gRPC target of the nearest endpoint that this machine can reach, and its local socket if it has one.

    A server is believed to be on this machine when the file that it names holds the bytes that it says: an address
    that looks local may be the end of a tunnel.
    """
    for endpoint in endpoints:
        try:
            address = Address.parse(endpoint.address) if endpoint.address else front
        except AddressError:
            continue
        if address == front:
            break
        if address.scheme == "unix" and _holds(endpoint.nonce_path, endpoint.nonce):
            return address.target, endpoint.local_socket
    return front.target, ""


def _holds(path: str, nonce: bytes) -> bool:
    if not _SHORTEST_NONCE <= len(nonce) <= _LONGEST_NONCE or not path.startswith("/"):
        return False
    try:
        # The path is the server's word: neither a pipe nor a device may hold up the reader.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return False
        return hmac.compare_digest(file.read(_LONGEST_NONCE + 1), nonce)
