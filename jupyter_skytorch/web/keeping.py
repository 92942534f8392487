"""Renewing a session's lease for somebody in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from jupyter_skytorch.web import expiry
from jupyter_skytorch.web.connection import connect

if TYPE_CHECKING:
    from jupyter_skytorch.web.targets import Target

_PATIENCE_SECONDS = 4.0


class KeepAliveError(Exception):
    """It was not renewed; the message is one line for a person, `status` that of an HTTP answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def keep_alive(target: Target, session_id: str) -> dict[str, Any]:
    """Renews the lease of a session of a server, and says when the session ends now. Raises KeepAliveError."""
    if target.credential.kind == "kernel-only":
        raise KeepAliveError(409, "Only the session's kernel holds the credential to ask its server")
    try:
        async with connect(target, patience=_PATIENCE_SECONDS) as connection:
            return expiry.describe(await connection.keep_alive(session_id))
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise KeepAliveError(404, _one_line(error.details() or "The server does not have the session")) from None
        raise KeepAliveError(502, f"The server did not renew it: {error.code().name}") from None
    except (TimeoutError, OSError, ValueError) as error:
        raise KeepAliveError(502, _one_line(f"The server can't be asked: {error}")) from None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
