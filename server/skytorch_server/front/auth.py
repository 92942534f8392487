"""Who calls: bearer tokens from a file, and the principals that they stand for."""

from __future__ import annotations

import hashlib
import hmac
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skytorch_server.quota import Quota

from .secret_file import Reread, SecretFileError, check_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Who everybody is on a server without a token file.
LOCAL = "local"
#: Whom a token file with one bare token stands for.
DEFAULT = "default"

#: The principal of the call that is being served.
caller: ContextVar[str] = ContextVar("caller")


@dataclass(frozen=True)
class _Tokens:
    """What a token file says: digests of tokens, and what it grants to whom."""

    principals: list[tuple[str, bytes]]
    quotas: dict[str, Quota]

    def __str__(self) -> str:
        return f"the {len(self.principals)} tokens"


class Principals:
    """The principals of a token file, read again whenever the file changes.

    Lines are ``principal:token``, after which ``sessions=4 memory=16GiB`` may limit what the principal gets; a single
    bare token stands for the principal "default"; ``#`` begins a comment. A principal may have several tokens, as while
    one replaces another. A change that can't be read leaves the last good tokens in force, and is logged.
    """

    def __init__(self, token_file: Path | None) -> None:
        """Reads `token_file`; None means that everybody is "local".

        Raises:
            SecretFileError: the file can't be read or understood, or every user of the machine can read it.
        """
        self._tokens = (
            None
            if token_file is None
            else Reread(
                [token_file],
                lambda: _read(token_file),
                lambda read: f"the {len(read.principals)} tokens of {token_file}",
            )
        )

    @property
    def asks(self) -> bool:
        """Whether callers need a token."""
        return self._tokens is not None

    @staticmethod
    def token(metadata: Iterable[tuple[str, str | bytes]]) -> bytes | None:
        """A digest of the bearer token that `metadata` carries; None: it carries none."""
        for key, value in metadata:
            if key == "authorization":
                header = value.encode() if isinstance(value, str) else value
                scheme, _, token = header.partition(b" ")
                return _digest(token.strip()) if scheme.lower() == b"bearer" else None
        return None

    def find(self, token: bytes) -> str | None:
        """Whom a token stands for, given its digest; None: it is not in the file."""
        found = None
        # Every token is compared, each in constant time, so that timing tells nothing.
        for principal, known in self._tokens.get().principals if self._tokens else ():
            if hmac.compare_digest(known, token):
                found = principal
        return found

    def quota(self, principal: str) -> Quota:
        """What the file grants a principal."""
        return self._tokens.get().quotas.get(principal, Quota()) if self._tokens else Quota()


def _digest(token: bytes) -> bytes:
    # Of one length, whatever the token's is; and a dump of the process shows no token.
    return hashlib.sha256(token).digest()


def _read(path: Path) -> _Tokens:
    check_private(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SecretFileError(f"the token file {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SecretFileError(f"the token file {path} is not UTF-8 text") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    read = _Tokens([], {})
    if len(lines) == 1 and ":" not in lines[0][1]:
        lines = [(lines[0][0], f"{DEFAULT}:{lines[0][1]}")]
    for number, line in lines:
        principal, _, rest = (part.strip() for part in line.partition(":"))
        token, *limits = rest.split() or [""]
        if not (principal and token):
            raise SecretFileError(f"{path}, line {number}: expected principal:token")
        digest = _digest(token.encode())
        if any(digest == known and principal != other for other, known in read.principals):
            raise SecretFileError(f"{path}, line {number}: another principal has the same token")
        try:
            quota = Quota.parse(limits)
        except ValueError as error:
            raise SecretFileError(f"{path}, line {number}: {error}") from error
        read.principals.append((principal, digest))
        read.quotas[principal] = quota.or_else(read.quotas.get(principal, Quota()))
    if not read.principals:
        raise SecretFileError(f"the token file {path} holds no token")
    return read
