"""How the front says no."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc


class Refusal(Exception):  # noqa: N818 - nothing is wrong with the server
    """A request that is answered with a gRPC status and one line for a person."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@asynccontextmanager
async def refusals(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Ends the call with the status of a :class:`Refusal` raised inside."""
    try:
        yield
    except Refusal as refusal:
        await context.abort(refusal.code, str(refusal))
