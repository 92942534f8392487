"""What goes wrong with a cluster, in one line that says what to do."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .access import Access

__all__ = ["ApiError", "GoneError", "KubernetesError", "explain", "explain_network"]

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _GONE, _INVALID, _TOO_MANY = 401, 403, 404, 409, 410, 422, 429
_LONGEST = 400


class KubernetesError(RuntimeError):
    """A Compute can't be had from the cluster. The message is one line."""


class ApiError(KubernetesError):
    """The API server refused. `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class GoneError(Exception):
    """A version that a watch was to begin at is too old by now: list again."""


def explain(status: int, body: dict[str, Any], doing: str, access: Access) -> str:
    """Say why the API server refused `doing` (as "create the Compute 'x'"); `body` is its Status object."""
    said = _one_line(str(body.get("message") or ""))
    details = body.get("details") or {}
    if status == _UNAUTHORIZED:
        return f"{access.host} doesn't accept the credentials of {access.source}: they have expired; log in again"
    if status == _FORBIDDEN and "exceeded quota" in said:
        quota = said[said.index("exceeded quota") :].removeprefix("exceeded quota: ")
        return f"the quota of the namespace doesn't let you {doing}: {quota}; ask for less, or delete a Compute"
    if status == _FORBIDDEN and "being terminated" in said:
        return f"the namespace is being deleted, so you can't {doing}: choose another one"
    if status == _FORBIDDEN:
        return f"you may not {doing}: ask who runs the cluster for the role that lets you ({said or 'forbidden'})"
    if status == _NOT_FOUND and details.get("kind") == "namespaces":
        return f"there is no namespace {details.get('name')!r} in {access.host}: create it, or choose another one"
    if status == _NOT_FOUND and not details.get("name"):
        return (
            f"{access.host} knows no Computes: who runs the cluster has to install the CRD and the operator "
            "(kubectl apply -k server/deploy/base), or this is another cluster than you mean"
        )
    if status in {_INVALID, 400}:
        causes = "; ".join(_one_line(str(cause.get("message", ""))) for cause in details.get("causes") or ())
        return f"the cluster refused to {doing}: {causes or said}"
    if status == _TOO_MANY or status >= 500:  # noqa: PLR2004
        return f"{access.host} could not {doing} now: {said or status}; try again"
    return f"{access.host} refused to {doing}: {said or status}"


def explain_network(error: BaseException, access: Access) -> str:
    """Say why the API server could not be reached."""
    # aiohttp's error about a certificate is of the same type, and wraps it.
    cause: BaseException | None = getattr(error, "certificate_error", error)
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {access.host} can't be trusted ({cause.verify_message}): "
                f"{access.source} is for another cluster, or outdated"
            )
        if isinstance(cause, ssl.SSLError):
            return f"{access.host} does not speak TLS as {access.source} says: is that the right address?"
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return f"the cluster at {access.host} does not answer: is it up, and is {access.source} the right one?"
    why = _one_line(str(getattr(error, "strerror", None) or error))
    return f"there is no cluster at {access.host} ({why}): is it up, and is {access.source} the right one?"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]
