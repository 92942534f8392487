"""Why a server could not be connected to, in one line."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import grpc

from .probe import Found, probe, probe_tls, speaks_tls

if TYPE_CHECKING:
    from .place import Place

__all__ = ["explain_refusal", "explain_silence", "explain_tls"]

_PROBE_SECONDS = 0.7
# OpenSSL's numbers for what is wrong with a certificate.
_UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}
_EXPIRED = 10
_NOT_YET = 9
_OTHER_HOST = {62, 64}
# And its names for what the server thinks of ours.
_ALERTS = {
    "UNKNOWN_CA": "it comes from another authority than the server's --tls-client-ca",
    "CERTIFICATE_EXPIRED": "it has expired",
}


async def explain_silence(error: grpc.aio.AioRpcError, place: Place) -> str:
    """Say why the first call to a server failed: all that is known of it is its address."""
    if error.code() in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND}:
        return _not_ours(place)
    found: Found | ssl.SSLError = await probe(place.door, _PROBE_SECONDS)
    if found is Found.LISTENER and place.address.scheme == "grpcs":
        found = await probe_tls(place.door, place.encryption, _PROBE_SECONDS)
    elif found is Found.LISTENER and place.address.scheme == "grpc":
        found = Found.TLS if await speaks_tls(place.door, _PROBE_SECONDS) else found
    if isinstance(found, ssl.SSLError):
        return explain_tls(found, place)
    other = str(place.address).partition(":")[2]
    none_of_ours = f"what listens at {place.address} is not a SkyTorch server: it does not answer as one"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        none_of_ours = f"what listens at {place.address} does not answer in time: it is busy, or not a SkyTorch server"
    return {
        Found.NO_HOST: f"there is no host {place.address.host!r}",
        Found.NOTHING: f"nothing listens at {place.address}: is the server running?",
        Found.FORBIDDEN: f"this user may not connect to {place.address}",
        Found.SILENCE: f"{place.address} does not answer: no connection came about",
        Found.LISTENER: none_of_ours,
        Found.PLAIN: f"what listens at {place.address} has no TLS: if that is right, connect to grpc:{other}",
        Found.TLS: none_of_ours
        if place.address.scheme == "grpcs"
        else f"what listens at {place.address} wants TLS: connect to grpcs:{other}",
    }[found]


def explain_tls(error: ssl.SSLError, place: Place) -> str:
    """Say why TLS with a server did not come about, and what to do."""
    address, files = place.address, place.encryption
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _UNKNOWN_AUTHORITY:
            authority = f"that of {files.ca}" if files.ca else "one that this machine trusts"
            return f"the certificate of {address} comes from another authority than {authority}: give it with ca (--ca)"
        if error.verify_code == _EXPIRED:
            return f"the certificate of {address} has expired: who runs the server has to renew it"
        if error.verify_code == _NOT_YET:
            return f"the certificate of {address} is not valid yet: is this machine's clock right?"
        if error.verify_code in _OTHER_HOST:
            return f"the certificate of {address} is not for {address.host!r}: connect to a name that is in it"
        return f"the certificate of {address} can't be trusted: {error.verify_message}"
    reason = error.reason or ""
    if "CERTIFICATE_REQUIRED" in reason or (files.cert is None and "HANDSHAKE_FAILURE" in reason):
        return f"{address} asks for a certificate of yours: give its files with cert and key (--cert, --key)"
    if files.cert is not None and "ALERT" in reason:
        why = _ALERTS.get(reason.rpartition("ALERT_")[2], "it is not one that the server accepts")
        return f"{address} refused the certificate {files.cert}: {why}"
    return f"TLS with {address} did not come about: {reason.replace('_', ' ').lower() or 'it broke off'}"


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
