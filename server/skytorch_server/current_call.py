"""The call that is being served, for those who write down what happens."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class CurrentCall:
    """A call to the front."""

    request_id: str
    method: str
    address: str
    """Where its client is: an IP address, or "unix:" for a Unix socket."""
    principal: str = ""
    over: bool = False
    """What goes on after its end, in tasks and timers that began in it, is not its doing any more."""


current_call: ContextVar[CurrentCall | None] = ContextVar("current_call", default=None)


def running_call() -> CurrentCall | None:
    """The call that this is done for; None where it is done for none."""
    call = current_call.get()
    return None if call is None or call.over else call
