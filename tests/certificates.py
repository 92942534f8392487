"""Certificates of an authority of the tests' own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = ("127.0.0.1", "localhost")


class Certificates:
    """Files in a folder: the authority's, and what it issues."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, *hosts: str, valid: timedelta = timedelta(days=1), password: bytes = b"") -> Path:
        """A certificate and its key in one file, for some hosts, which has expired where `valid` is negative."""
        path = self._folder / name
        issued = self._authority.issue_cert(*(hosts or HOSTS), not_after=datetime.now(UTC) + valid)
        path.write_bytes(_locked(issued.private_key_pem.bytes(), password))
        for part in issued.cert_chain_pems:
            part.write_to_path(path, append=True)
        path.chmod(0o600)
        return path

    def issue_apart(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """A certificate and its key in files of their own."""
        issued = self._authority.issue_cert(*(hosts or HOSTS))
        cert, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        cert.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return cert, key


def _locked(key: bytes, password: bytes) -> bytes:
    if not password:
        return key
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
    )
