"""Bearer tokens, and references to them.

A reference says where a token can be found and never holds it, so that it can be written to disk and shown.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Credential", "CredentialError", "Metadata", "bearer", "resolve"]

Kind = Literal["none", "token-file", "kernel-only", "kubernetes-secret"]
Metadata = tuple[tuple[str, str], ...]


class CredentialError(ValueError):
    """A token file that cannot be read or holds no single token. The message is one line."""


@dataclass(frozen=True)
class Credential:
    """Where a connection's token is: nowhere, in a file, in a Secret, or in the memory of the kernel that connected."""

    kind: Kind = "none"
    path: str | None = None
    """The file, or the URL of the Secret."""

    def token(self) -> str | None:
        """Read the token; None when there is none to be read here ("token-file" is the only kind that is).

        Raises CredentialError.
        """
        if self.kind == "token-file" and self.path:
            return _read(Path(self.path))
        return None


def resolve(
    *, token: str | None = None, token_file: str | os.PathLike[str] | None = None
) -> tuple[Credential, str | None]:
    """Find the token to use: the argument, the file, else SKYTORCH_TOKEN, else none.

    Returns the reference and the token. Raises CredentialError.
    """
    if token is not None:
        return Credential("kernel-only"), _checked(token, "token")
    if token_file is not None:
        credential = Credential("token-file", str(Path(token_file).expanduser().absolute()))
        return credential, credential.token()
    if from_environment := os.environ.get("SKYTORCH_TOKEN"):
        return Credential("kernel-only"), _checked(from_environment, "SKYTORCH_TOKEN")
    return Credential(), None


def bearer(token: str | None) -> Metadata:
    """Return the call metadata that presents a token."""
    return (("authorization", f"Bearer {token}"),) if token else ()


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CredentialError(f"the token file {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CredentialError(f"the token file {path} cannot be read: {reason}") from None
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if len(lines) != 1:
        raise CredentialError(f"the token file {path} must hold one token, it holds {len(lines) or 'none'}")
    # The server's own file has "principal:token" lines, and a client may well be given the same one.
    return _checked(lines[0].split(":", 1)[-1].strip(), f"token in {path}")


def _checked(token: str, what: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CredentialError(f"the {what} is empty or has characters that a token cannot have")
    return token
