"""Where the servers of other Computes find a session, to bring tensors to it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from skytorch_wire import service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skytorch_wire import sessions_pb2

    from .place import Place

__all__ = ["destination"]

# Of authorities that a server is told of; a file of more is a bundle, and what its machine trusts is as good.
_LARGEST_CA = 32 * 1024


def destination(endpoints: Iterable[sessions_pb2.Endpoint], place: Place) -> service_pb2.CopyDestination:
    """Return where a session's server says that tensors are brought to."""
    found = service_pb2.CopyDestination()
    address = place.address
    for endpoint in endpoints:
        if endpoint.address:
            found.socket = endpoint.intake
        elif address.scheme != "unix":
            found.host, found.port, found.intake = address.host, address.port, endpoint.intake
    if address.scheme == "grpcs":
        found.encrypted = True
        found.ca = place.encryption.authority or _authority(place.encryption.ca)
        found.certified = place.encryption.certified or ""
    return found


def _authority(path: str | None) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if path is not None and Path(path).stat().st_size <= _LARGEST_CA:
            return Path(path).read_text(encoding="ascii")
    return ""
