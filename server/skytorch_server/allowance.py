"""What a session may have: how long it lives, how much memory it takes, how much it has in flight."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .arguments import positive_int, seconds, size

if TYPE_CHECKING:
    import argparse

#: No lease is shorter, in seconds: a kernel that is busy for a moment would lose it.
SHORTEST_LEASE = 1.0


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
        """What the flags of :func:`add_flags` say."""
        return cls(**{name: getattr(options, name) for name in cls.__dataclass_fields__})


def _bounded(asked: float, most: float) -> float:
    return min(asked, most) if asked and most else asked or most


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags, each with its environment variable, to a command line."""
    group = parser.add_argument_group("what a session may have")
    usual = Allowance()

    def flag(name: str, type_: object, metavar: str, default: float, explain: str) -> None:
        variable = "SKYTORCH_" + name.removeprefix("--").replace("-", "_").upper()
        group.add_argument(
            name,
            type=type_,  # type: ignore[arg-type]
            metavar=metavar,
            # Of text argparse makes a value as it does of a flag's.
            default=os.environ.get(variable, default),
            help=f"{explain} ({variable}, default {f'{default:g}' if default else 'no limit'})",
        )

    flag(
        "--idle-timeout",
        seconds,
        "SECONDS",
        usual.idle_timeout,
        "a session whose kernel hasn't been heard of for this long ends, unless it asked for another time",
    )
    flag("--max-idle-timeout", seconds, "SECONDS", usual.max_idle_timeout, "the most that it may ask for")
    flag("--max-age", seconds, "SECONDS", usual.max_age, "a session ends this long after it began")
    flag(
        "--session-memory",
        size,
        "SIZE",
        usual.session_memory,
        "what the tensors of one session may take on each device, as 8GiB; it may ask for less",
    )
    flag(
        "--pending-records",
        positive_int,
        "N",
        usual.pending_records,
        "records of one session that are taken in and not executed yet; more wait with the client",
    )
    flag("--pending-bytes", size, "SIZE", usual.pending_bytes, "and their bytes")
