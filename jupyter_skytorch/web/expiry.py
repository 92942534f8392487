"""When a session ends by itself, in the form that a browser gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_skytorch.compute.expiry import Expiry

if TYPE_CHECKING:
    from skytorch_wire import sessions_pb2

_COARSE_FROM = 120
_MINUTE = 60


def describe(said: sessions_pb2.Expiry) -> dict[str, Any]:
    """What a server has just said. Minutes are told as whole ones, so that a state is not another at each second."""
    end = Expiry.of(said)
    seconds = int(said.seconds)
    return {
        "seconds": seconds - seconds % _MINUTE if seconds >= _COARSE_FROM else seconds,
        "cause": end.cause,
        "soon": end.soon,
    }
