"""What is known of a server's health, and how a failed call reads as that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import grpc
import grpc.aio

State = Literal["unknown", "serving", "unreachable", "refused"]

# The server answered, and said no: trying the same again soon won't help, a person has to.
_REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED: "it does not accept the credential",
    grpc.StatusCode.PERMISSION_DENIED: "it does not allow this to the credential",
    grpc.StatusCode.FAILED_PRECONDITION: "it speaks another version of the protocol",
    grpc.StatusCode.UNIMPLEMENTED: "it is not a SkyTorch server, or an older one",
}


class ServerEndedError(Exception):
    """The server ended a stream in good order: it is shutting down."""


@dataclass(frozen=True)
class Health:
    """A server's state, since when, and why if it is not serving."""

    state: State
    since: datetime
    reason: str = ""

    def then(self, state: State, reason: str = "") -> Health:
        """The health after an observation; the same object when it says nothing new."""
        if (state, reason) == (self.state, self.reason):
            return self
        since = self.since if state == self.state else datetime.now(UTC)
        return Health(state, since, reason)


def unknown() -> Health:
    """The health of a server that was not asked yet."""
    return Health("unknown", datetime.now(UTC))


def from_failure(error: Exception) -> tuple[State, str]:
    """State and reason that a failed attempt to reach or follow a server shows."""
    if isinstance(error, grpc.aio.AioRpcError):
        if error.code() in _REFUSALS:
            return "refused", _REFUSALS[error.code()]
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return "unreachable", "nothing answers at its address"
        return "unreachable", f"it failed with {error.code().name}"
    if isinstance(error, ServerEndedError):
        return "unreachable", "it has shut down"
    if isinstance(error, TimeoutError):
        return "unreachable", "it does not answer"
    # The credential: a token file that is gone or not readable.
    return "refused", str(error)
