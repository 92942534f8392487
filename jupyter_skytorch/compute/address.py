"""The provider "address": a server that somebody else runs."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from .channel import Address, check_secure
from .credentials import resolve
from .place import Place

if TYPE_CHECKING:
    import os

    from .encryption import Encryption

__all__ = ["NAME", "locate"]

NAME = "address"


def locate(
    target: str,
    *,
    token: str | None,
    token_file: str | os.PathLike[str] | None,
    encryption: Encryption,
    insecure: bool,
) -> Place:
    """Read an address and find the token for it.

    Raises AddressError (also for a plain connection to another machine without `insecure`) and CredentialError.
    """
    address = Address.parse(target)
    check_secure(address, encryption, insecure=insecure)
    credential, found = resolve(token=token, token_file=token_file)
    name = PurePosixPath(address.path).stem if address.scheme == "unix" else f"{address.host}-{address.port}"
    return Place(NAME, name.strip("[]"), address, credential, token=found, encryption=encryption, insecure=insecure)
