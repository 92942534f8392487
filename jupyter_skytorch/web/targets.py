"""Which servers there are to look at: those of the configuration, and those that session records name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_skytorch.compute.channel import Address
from jupyter_skytorch.compute.credentials import Credential
from jupyter_skytorch.compute.encryption import Encryption

if TYPE_CHECKING:
    from jupyter_skytorch.compute.records import SessionRecord

_ENTRY_KEYS = {"address", "name", "token_file", "ca", "cert", "key", "insecure"}


@dataclass(frozen=True)
class Target:
    """A server as one credential sees it: two credentials for one address may see different sessions."""

    address: str
    credential: Credential
    insecure: bool
    encryption: Encryption = field(default_factory=Encryption)

    @property
    def id(self) -> str:
        """Names the target in answers to browsers; says nothing about it."""
        text = repr((self.address, self.credential.kind, self.credential.path, self.insecure, self.encryption))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @classmethod
    def of(cls, record: SessionRecord) -> Target:
        """The server that a session's record names."""
        return cls(record.address, record.credential, record.insecure, record.encryption)


def configured(entry: dict[str, Any]) -> tuple[Target, str]:
    """The target that an entry of `SkyTorchApp.servers` describes, and its name.

    Raises ValueError, naming what is wrong with the entry.
    """
    if unknown := sorted(set(entry) - _ENTRY_KEYS):
        raise ValueError(f"unknown key {unknown[0]!r}, use {', '.join(sorted(_ENTRY_KEYS))}")
    if "address" not in entry:
        raise ValueError("an entry needs an `address`, such as 'grpc://host:50051'")
    address = str(Address.parse(str(entry["address"])))
    path = entry.get("token_file")
    credential = Credential("token-file", str(Path(path).expanduser().absolute())) if path else Credential()
    encryption = Encryption.of(entry.get("ca"), entry.get("cert"), entry.get("key"))
    return Target(address, credential, bool(entry.get("insecure", False)), encryption), entry.get("name") or address
