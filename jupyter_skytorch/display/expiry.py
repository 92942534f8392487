"""How a session's end is announced."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_skytorch.compute.expiry import Expiry

__all__ = ["ending"]

_MINUTE = 60


def ending(expiry: Expiry) -> str:
    """Say when a session ends, and why: "session ends in 4 min: maximum age"."""
    seconds = int(expiry.seconds)
    left = f"{seconds // _MINUTE} min" if seconds >= _MINUTE else f"{seconds} s"
    return f"session ends in {left}: {expiry.cause}"
