"""The ways to a session's process: itself where it is on this machine, else through the front."""

from __future__ import annotations

import hmac
import os
import re
import stat
from typing import TYPE_CHECKING

from jupyter_skytorch.session import Way

from .channel import Address, AddressError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skytorch_wire import sessions_pb2

    from .encryption import Encryption

__all__ = ["ways"]

_SHORTEST_NONCE = 16
_LONGEST_NONCE = 1024
_TUNNEL = re.compile(r"[A-Za-z0-9-]{1,64}")
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


def ways(
    endpoints: Iterable[sessions_pb2.Endpoint],
    front: Address,
    encryption: Encryption | None = None,
    *,
    far: bool | None = None,
) -> list[Way]:
    """Return the ways that may lead to a session, the best one first.

    A server is believed to be on this machine when the file that it names holds the bytes that it says: an address
    that looks local may be the end of a tunnel. `encryption` is that of the front's address where it has TLS;
    `far` whether another machine is behind it, where the address doesn't tell.
    """
    far = not front.loopback if far is None else far
    if front.scheme != "grpcs":
        encryption = None
    through = [Way(front.target, far=far, here=front.loopback, encryption=encryption)]
    for endpoint in endpoints:
        if not endpoint.address:
            if _can_tunnel(endpoint.tunnel, front):
                through.insert(0, Way(endpoint.tunnel, door=(front.host, front.port), far=far, encryption=encryption))
            break
        try:
            address = Address.parse(endpoint.address)
        except AddressError:
            continue
        if address.scheme == "unix" and _holds(endpoint.nonce_path, endpoint.nonce):
            return [Way(endpoint.local_socket, local=True) if endpoint.local_socket else Way(address.target)]
    return through


def _can_tunnel(name: str, front: Address) -> bool:
    if front.scheme == "unix" or not _TUNNEL.fullmatch(name):
        return False
    # The user's own proxy would have to be asked first: gRPC knows how.
    return front.loopback or not any(os.environ.get(variable) for variable in _PROXIES)


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
