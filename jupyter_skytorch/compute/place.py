"""What a provider answers with: where a server is and how to speak to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .encryption import Encryption

if TYPE_CHECKING:
    from .channel import Address
    from .credentials import Credential

__all__ = ["Place"]


@dataclass(frozen=True)
class Place:
    """A server that can be connected to."""

    provider: str
    name: str
    """What the Compute is called unless the user says otherwise."""
    address: Address
    credential: Credential
    token: str | None = None
    encryption: Encryption = field(default_factory=Encryption)
    insecure: bool = False
    via: Address | None = None
    """Where to connect to instead: this machine's end of a way to the address."""

    @property
    def door(self) -> Address:
        """Where to connect to."""
        return self.via or self.address

    def __repr__(self) -> str:
        # Without the token.
        return f"Place({self.provider}, {self.name!r}, {self.address})"
