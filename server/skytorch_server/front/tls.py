"""The server's certificate: read again when it changes, so that it is renewed without a restart."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from .secret_file import Reread, SecretFileError, check_private

if TYPE_CHECKING:
    from pathlib import Path


class Tls:
    """What connections to the port are encrypted with."""

    def __init__(self, cert: Path, key: Path | None = None, client_ca: Path | None = None) -> None:
        """Reads the files, which are PEM.

        Args:
            cert: the server's certificate, and those that lead from it to its authority.
            key: its private key, which others may not read; None where `cert` holds it too.
            client_ca: the authorities that clients' certificates have to come from; None: clients need none.

        Raises:
            SecretFileError: one of them can't be read or used.
        """
        self.asks_clients = client_ca is not None
        self._cert = cert
        self._key = key or cert
        self._client_ca = client_ca
        files = [self._cert, self._key, *([client_ca] if client_ca else [])]
        self._context = Reread(files, self._load, lambda _: f"the certificate {cert}")

    def context(self) -> ssl.SSLContext:
        """What the next connection is encrypted with."""
        return self._context.get()

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        # gRPC demands the first; a tunnel speaks the second.
        context.set_alpn_protocols(["h2", "http/1.1"])
        check_private(self._key)
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            raise SecretFileError(f"can't use the certificate {self._cert} with {self._key}: {_why(error)}") from error
        if self._client_ca is not None:
            try:
                context.load_verify_locations(self._client_ca)
            except OSError as error:
                raise SecretFileError(f"can't use {self._client_ca} as clients' authority: {_why(error)}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _no_password() -> str:
    # Without this, OpenSSL would ask at the terminal.
    raise ValueError("the key is protected by a password, and nobody is there to type it")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not that of the certificate"
        return f"it is no PEM file of that kind ({error.reason or error.strerror})"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
