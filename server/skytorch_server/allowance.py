"""What a session may have: how long it lives, how much memory it takes, how much it has in flight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skytorch_wire.sizes import size_text

from .arguments import FlagGroup, positive_int, seconds, size

if TYPE_CHECKING:
    import argparse

#: No lease is shorter, in seconds: a kernel that is busy for a moment would lose it.
SHORTEST_LEASE = 1.0

_NO_LIMIT = "no limit"


@dataclass(frozen=True)
class Granted:
    """What one session has. Times in seconds; 0 is no bound."""

    lease_seconds: float
    max_age_seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class Allowance:
    """What sessions get that ask for nothing, and the most that they get. Times in seconds; 0 is no bound."""

    idle_timeout: float = 3600.0
    """The lease of a session that asks for none."""
    max_idle_timeout: float = 24 * 3600.0
    max_age: float = 0.0
    session_memory: int = 0
    """Bytes of tensors on each device."""
    pending_records: int = 100_000
    pending_bytes: int = 64 * 1024 * 1024

    def grant(self, lease: float, max_age: float, memory: int) -> Granted:
        """What a session gets that asks for this; 0 asks for nothing."""
        return Granted(
            lease_seconds=max(min(lease or self.idle_timeout, self.max_idle_timeout), SHORTEST_LEASE),
            max_age_seconds=_bounded(max_age, self.max_age),
            memory_bytes=int(_bounded(memory, self.session_memory)),
        )

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> Allowance:
        """What the flags of :func:`add_allowance_flags` say."""
        said = {name: getattr(options, name) for name in cls.__dataclass_fields__}
        return cls(**{name: value for name, value in said.items() if value is not None})


def _bounded(asked: float, most: float) -> float:
    return min(asked, most) if asked and most else asked or most


def add_allowance_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags to a command line."""
    group = FlagGroup(parser, "what a session may have")
    usual = Allowance()
    group.value(
        "--idle-timeout",
        seconds,
        "TIME",
        "a session whose kernel hasn't been heard of for this long ends, unless it asked for another time",
        default=f"{usual.idle_timeout:g}",
    )
    group.value(
        "--max-idle-timeout",
        seconds,
        "TIME",
        "the most that it may ask for",
        default=f"{usual.max_idle_timeout:g}",
    )
    group.value("--max-age", seconds, "TIME", "a session ends this long after it began", otherwise=_NO_LIMIT)
    group.value(
        "--session-memory",
        size,
        "SIZE",
        "what the tensors of one session may take on each device, as 8GiB; it may ask for less",
        otherwise=_NO_LIMIT,
    )
    group.value(
        "--pending-records",
        positive_int,
        "N",
        "records of one session that are taken in and not executed yet; more wait with the client",
        default=str(usual.pending_records),
    )
    group.value("--pending-bytes", size, "SIZE", "and their bytes", default=size_text(usual.pending_bytes))
