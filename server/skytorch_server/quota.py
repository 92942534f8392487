"""How much of a server one principal may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from skytorch_wire.sizes import parse_size


@dataclass(frozen=True)
class Quota:
    """Limits of all sessions of one principal together; None: there is none."""

    sessions: int | None = None
    memory_bytes: int | None = None
    """Of the tensors that they hold, when another session is to begin."""

    def or_else(self, other: Quota) -> Quota:
        """This one, and of `other` what this leaves open."""
        return Quota(
            other.sessions if self.sessions is None else self.sessions,
            other.memory_bytes if self.memory_bytes is None else self.memory_bytes,
        )

    @classmethod
    def parse(cls, words: list[str]) -> Self:
        """Reads ``sessions=4 memory=16GiB``.

        Raises:
            ValueError: one line.
        """
        known: dict[str, int] = {}
        for word in words:
            name, _, value = word.partition("=")
            if name == "memory":
                known["memory_bytes"] = parse_size(value)
            elif name == "sessions" and value.isascii() and value.isdigit():
                known["sessions"] = int(value)
            else:
                raise ValueError("expected sessions=NUMBER or memory=SIZE after the token")
        return cls(**known)
