"""What a session is asked to be: how long it may live and how much memory it may take."""

from __future__ import annotations

import math
from dataclasses import dataclass

from skytorch_wire.sizes import parse_size

__all__ = ["Terms", "TermsError"]


class TermsError(ValueError):
    """A time or a size that is none. The message is one line."""


@dataclass(frozen=True)
class Terms:
    """Times in seconds, memory in bytes; 0 asks for nothing, and what the server has as default holds."""

    idle_timeout: float = 0.0
    max_age: float = 0.0
    memory: int = 0

    @classmethod
    def of(cls, idle_timeout: float | None, max_age: float | None, memory: int | str | None) -> Terms:
        """Check what a user asks for; `memory` may have a unit, as "8GiB". Raises TermsError."""
        return cls(_seconds("idle_timeout", idle_timeout), _seconds("max_age", max_age), _bytes(memory))


def _seconds(name: str, value: float | None) -> float:
    if value is None:
        return 0.0
    if not (math.isfinite(value) and value > 0):
        raise TermsError(f"{name} is a number of seconds above 0, not {value!r}")
    return float(value)


def _bytes(value: int | str | None) -> int:
    if value is None:
        return 0
    try:
        size = parse_size(value) if isinstance(value, str) else value
    except ValueError as error:
        raise TermsError(f"memory: {error}") from None
    if not 0 < size < 2**63:
        raise TermsError(f"memory is a number of bytes above 0, not {value!r}")
    return size
