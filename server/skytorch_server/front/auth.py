"""Who calls: bearer tokens from a file, and the principals that they stand for."""

from __future__ import annotations

import hmac
import logging
import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc

from .refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

_log = logging.getLogger(__name__)

#: Who everybody is on a server without a token file.
LOCAL = "local"
#: Whom a token file with one bare token stands for.
DEFAULT = "default"

#: The principal of the call that is being served.
caller: ContextVar[str] = ContextVar("caller")

# Probes of Kubernetes and of load balancers can't send a token.
_OPEN_TO_ALL = ("/grpc.health.v1.Health/",)


class TokenFileError(ValueError):
    """The token file can't be read or understood; the message says where."""


class Principals:
    """The principals of a token file, read again whenever the file changes.

    Lines are ``principal:token``; a single bare token stands for the principal "default"; ``#`` begins a comment. A
    change that can't be read leaves the last good tokens in force, and is logged.
    """

    def __init__(self, token_file: Path | None) -> None:
        """Reads `token_file`; None means that everybody is "local".

        Raises:
            TokenFileError: the file can't be read or understood.
        """
        self._file = token_file
        self._tokens: list[tuple[str, bytes]] = []
        self._seen: tuple[int, int, int] | None = None
        if token_file is not None:
            self._seen = _fingerprint(token_file)
            self._tokens = _read(token_file)

    def identify(self, metadata: Iterable[tuple[str, str | bytes]]) -> str:
        """The principal whose token `metadata` carries.

        Raises:
            Refusal: UNAUTHENTICATED.
        """
        if self._file is None:
            return LOCAL
        self._reload(self._file)
        headers = [value for key, value in metadata if key == "authorization"]
        if not headers:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "this server needs a token: none was sent")
        header = headers[0].encode() if isinstance(headers[0], str) else headers[0]
        scheme, _, token = header.partition(b" ")
        found = None
        # Every token is compared, each in constant time, so that timing tells nothing.
        for principal, known in self._tokens:
            if hmac.compare_digest(known, token.strip()):
                found = principal
        if found is None or scheme.lower() != b"bearer":
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "the token is not one that this server knows")
        return found

    def _reload(self, path: Path) -> None:
        try:
            now = _fingerprint(path)
        except TokenFileError as error:
            now = None
            problem: TokenFileError | None = error
        else:
            problem = None
        if now == self._seen:
            return
        self._seen = now
        if problem is None:
            try:
                self._tokens = _read(path)
            except TokenFileError as error:
                problem = error
        if problem is None:
            _log.info("read the tokens of %d principals from %s", len(self._tokens), path)
        else:
            _log.error("%s; the tokens read before stay in force", problem)


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


def _fingerprint(path: Path) -> tuple[int, int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - on every call, so the cheap form
    except OSError as error:
        raise TokenFileError(f"the token file {path} can't be read: {error.strerror}") from error
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> list[tuple[str, bytes]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TokenFileError(f"the token file {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TokenFileError(f"the token file {path} is not UTF-8 text") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if len(lines) == 1 and ":" not in lines[0][1]:
        return [(DEFAULT, lines[0][1].encode())]
    tokens: list[tuple[str, bytes]] = []
    for number, line in lines:
        principal, colon, token = (part.strip() for part in line.partition(":"))
        if not (principal and colon and token):
            raise TokenFileError(f"{path}, line {number}: expected principal:token")
        if any(token.encode() == known for _, known in tokens):
            raise TokenFileError(f"{path}, line {number}: another principal has the same token")
        tokens.append((principal, token.encode()))
    if not tokens:
        raise TokenFileError(f"the token file {path} holds no token")
    return tokens
