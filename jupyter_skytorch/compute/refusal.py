"""Why a server could not be connected to, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from .probe import Found, probe

if TYPE_CHECKING:
    from .place import Place

__all__ = ["explain_refusal", "explain_silence"]

_PROBE_SECONDS = 1.0


async def explain_silence(error: grpc.aio.AioRpcError, place: Place) -> str:
    """Say why the first call to a server failed: all that is known of it is its address."""
    if error.code() in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND}:
        return _not_ours(place)
    found = await probe(place.address, _PROBE_SECONDS)
    return {
        Found.NO_HOST: f"there is no host {place.address.host!r}",
        Found.NOTHING: f"nothing listens at {place.address}: is the server running?",
        Found.FORBIDDEN: f"this user may not connect to {place.address}",
        Found.SILENCE: f"{place.address} does not answer: no connection came about",
        Found.LISTENER: f"what listens at {place.address} is not a SkyTorch server: it does not answer as one",
    }[found]


def explain_refusal(error: grpc.aio.AioRpcError, place: Place) -> str:
    """Say why a server refused a session."""
    code, details = error.code(), _one_line(error.details())
    if code is grpc.StatusCode.UNAUTHENTICATED and place.token is None:
        return f"{place.address} needs a token, and none was given: give its file with token_file (--token-file)"
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return f"{place.address} refused the token: it is not one that the server knows"
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return f"{place.address} is full: {details}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{place.address} did not make a session in time"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return _not_ours(place)
    # Another protocol version among them: the server names both.
    return f"{place.address} refused: {details or code.name}"


def _not_ours(place: Place) -> str:
    return f"{place.address} is a gRPC server, but not a SkyTorch server"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())[:300]
