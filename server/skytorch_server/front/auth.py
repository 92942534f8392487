"""Who calls: bearer tokens from a file, and the principals that they stand for."""

from __future__ import annotations

import hashlib
import hmac
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc

from .refusal import Refusal
from .secret_file import Reread, SecretFileError, check_private

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

#: Who everybody is on a server without a token file.
LOCAL = "local"
#: Whom a token file with one bare token stands for.
DEFAULT = "default"

#: The principal of the call that is being served.
caller: ContextVar[str] = ContextVar("caller")

# Probes of Kubernetes and of load balancers can't send a token.
_OPEN_TO_ALL = ("/grpc.health.v1.Health/",)


class Principals:
    """The principals of a token file, read again whenever the file changes.

    Lines are ``principal:token``; a single bare token stands for the principal "default"; ``#`` begins a comment. A
    change that can't be read leaves the last good tokens in force, and is logged.
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
                [token_file], lambda: _read(token_file), lambda tokens: f"the {len(tokens)} tokens of {token_file}"
            )
        )

    def identify(self, metadata: Iterable[tuple[str, str | bytes]]) -> str:
        """The principal whose token `metadata` carries.

        Raises:
            Refusal: UNAUTHENTICATED.
        """
        if self._tokens is None:
            return LOCAL
        tokens = self._tokens.get()
        headers = [value for key, value in metadata if key == "authorization"]
        if not headers:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "this server needs a token: none was sent")
        header = headers[0].encode() if isinstance(headers[0], str) else headers[0]
        scheme, _, token = header.partition(b" ")
        digest = _digest(token.strip())
        found = None
        # Every token is compared, each in constant time, so that timing tells nothing.
        for principal, known in tokens:
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None or scheme.lower() != b"bearer":
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "the token is not one that this server knows")
        return found


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Lets only known principals through, and sets :data:`caller` for the service."""

    def __init__(self, principals: Principals) -> None:
        self._principals = principals

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        if not handler_call_details.method.startswith(_OPEN_TO_ALL):
            try:
                caller.set(self._principals.identify(handler_call_details.invocation_metadata))
            except Refusal as refusal:
                return _refuse(refusal)
        return await continuation(handler_call_details)


def _refuse(refusal: Refusal) -> grpc.RpcMethodHandler[Any, Any]:
    async def abort(_requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await context.abort(refusal.code, str(refusal))

    # The one kind of handler that answers without waiting for a first message, whatever the method's own kind is.
    return grpc.stream_stream_rpc_method_handler(abort)


def _digest(token: bytes) -> bytes:
    # Of one length, whatever the token's is; and a dump of the process shows no token.
    return hashlib.sha256(token).digest()


def _read(path: Path) -> list[tuple[str, bytes]]:
    check_private(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SecretFileError(f"the token file {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SecretFileError(f"the token file {path} is not UTF-8 text") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if len(lines) == 1 and ":" not in lines[0][1]:
        return [(DEFAULT, _digest(lines[0][1].encode()))]
    tokens: list[tuple[str, bytes]] = []
    for number, line in lines:
        principal, colon, token = (part.strip() for part in line.partition(":"))
        if not (principal and colon and token):
            raise SecretFileError(f"{path}, line {number}: expected principal:token")
        digest = _digest(token.encode())
        if any(digest == known for _, known in tokens):
            raise SecretFileError(f"{path}, line {number}: another principal has the same token")
        tokens.append((principal, digest))
    if not tokens:
        raise SecretFileError(f"the token file {path} holds no token")
    return tokens
