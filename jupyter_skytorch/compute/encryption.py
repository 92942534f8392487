"""TLS with a server: which files say whom to believe and who we are. Imports no torch.

A reference, as a :class:`.credentials.Credential` is: it holds paths and no key, so that it can be written to disk.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .credentials import CredentialError

if TYPE_CHECKING:
    import os

    import grpc

__all__ = ["Encryption"]


@dataclass(frozen=True)
class Encryption:
    """The files of a connection by TLS, which are PEM, or what is known without a file."""

    ca: str | None = None
    """The authorities that the server's certificate may come from; None: those that this machine trusts."""
    cert: str | None = None
    """The client's own certificate, for servers that ask for one."""
    key: str | None = None
    """Its private key; None where `cert` holds it too."""
    authority: str | None = None
    """The authority itself, in PEM, where no file holds it."""
    certified: str | None = None
    """The name that the server's certificate is for, where the server is reached by another one."""

    @classmethod
    def of(
        cls,
        ca: str | os.PathLike[str] | None,
        cert: str | os.PathLike[str] | None,
        key: str | os.PathLike[str] | None,
    ) -> Encryption:
        """Paths as a user gives them."""
        return cls(*(str(Path(path).expanduser().absolute()) if path else None for path in (ca, cert, key)))

    def __bool__(self) -> bool:
        return self != Encryption()

    def context(self) -> ssl.SSLContext:
        """For sockets. Raises CredentialError, one line, for files that can't be used."""
        context = self._trusting()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.key is not None and self.cert is None:
            raise CredentialError("a key was given without its certificate: give the certificate, too (cert, --cert)")
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key, password=_no_password)
            except (OSError, ValueError) as error:
                key = f" with {self.key}" if self.key else ""
                raise CredentialError(f"the certificate {self.cert} can't be used{key}: {_why(error)}") from None
        return context

    def _trusting(self) -> ssl.SSLContext:
        if self.ca is None and self.authority is None:
            return ssl.create_default_context()
        # This machine's own authorities aren't even read: that takes 40 ms.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.ca, cadata=self.authority if self.ca is None else None)
        except (OSError, ValueError) as error:
            if self.ca is None:
                raise CredentialError("the authority that the server's place names is no certificate") from None
            raise CredentialError(f"the authority {self.ca} can't be used: {_why(error)}") from None
        return context

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For channels. Raises CredentialError, as :meth:`context`."""
        import grpc

        # What is wrong with the files is said by OpenSSL alone.
        trusted = self.context().get_ca_certs(binary_form=True)
        roots = _read(self.ca) if self.ca else "".join(map(ssl.DER_cert_to_PEM_cert, trusted)).encode()
        cert = _read(self.cert) if self.cert else None
        key = _read(self.key or self.cert) if self.cert else None
        # gRPC's own bundle of roots where this machine has none.
        return grpc.ssl_channel_credentials(roots or None, key, cert)


def _read(path: str | None) -> bytes:
    return Path(path or "").read_bytes()


def _no_password() -> str:
    # Without this, OpenSSL would ask at the terminal.
    raise ValueError("the key is protected by a password, which can't be given; give one without")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not that of the certificate"
        if error.reason == "NO_START_LINE" or error.reason is None:
            return "it is no PEM file of that kind"
        return error.reason.replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
