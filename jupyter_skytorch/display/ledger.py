"""The ledger line: what a cell cost."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Literal

from .markup import MimeBundle, block, table
from .quantities import count, duration, size

__all__ = ["Ledger", "Outcome", "SyncLine"]

Outcome = Literal["done", "failed", "interrupted", "abandoned"]


@dataclass(frozen=True)
class SyncLine:
    """A line of the cell that needed values back."""

    line: int
    source: str
    sync_points: int
    wait_seconds: float


@dataclass(frozen=True)
class Ledger:
    """What one `%%sky` cell cost, shown as one quiet line."""

    where: str
    wall_seconds: float
    remote_seconds: float
    """Time that the session's executor was busy."""
    ops: int
    bytes_up: int
    bytes_down: int
    sync_points: int
    wait_seconds: float
    """Time that the notebook waited at sync points."""
    sync_lines: tuple[SyncLine, ...] = ()
    """The lines with the sync points, the longest wait first."""
    outcome: Outcome = "done"

    def __str__(self) -> str:
        parts = [
            f"sky {self.where}",
            *([] if self.outcome == "done" else [self.outcome]),
            f"wall {duration(self.wall_seconds)}, remote {duration(self.remote_seconds)}",
            count(self.ops, "op"),
            f"↑ {size(self.bytes_up)} ↓ {size(self.bytes_down)}",
            count(self.sync_points, "sync point"),
        ]
        return " · ".join(parts)

    def _repr_mimebundle_(self, **_formats: object) -> MimeBundle:
        line = escape(str(self))
        if not self.sync_lines:
            return {"text/plain": str(self), "text/html": block(line, quiet=True)}
        rows = [
            (f"line {at.line}", at.source, count(at.sync_points, "sync point"), f"waited {duration(at.wait_seconds)}")
            for at in self.sync_lines
        ]
        details = f"<details><summary>{line}</summary>{table((), rows)}</details>"
        return {"text/plain": str(self), "text/html": block(details, quiet=True)}
