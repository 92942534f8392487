"""The ledger line: what a cell cost."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

from .expiry import ending
from .markup import MimeBundle, block
from .profile import advice_html, lines_table
from .quantities import count, duration, size

if TYPE_CHECKING:
    from jupyter_skytorch.compute.advice import Advice
    from jupyter_skytorch.compute.expiry import Expiry
    from jupyter_skytorch.compute.profile import LineCost

__all__ = ["Ledger", "Outcome"]

_LINES = 15

Outcome = Literal["done", "failed", "interrupted", "abandoned"]


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
    lines: tuple[LineCost, ...] = ()
    """What each line of it cost."""
    advice: tuple[Advice, ...] = ()
    outcome: Outcome = "done"
    expiry: Expiry | None = None
    """When the session ends by itself."""
    detours: tuple[str, ...] = ()
    """Copies between Computes that came through this machine, and why."""

    def __str__(self) -> str:
        parts = [
            f"sky {self.where}",
            *([] if self.outcome == "done" else [self.outcome]),
            f"wall {duration(self.wall_seconds)}, remote {duration(self.remote_seconds)}",
            count(self.ops, "op"),
            f"↑ {size(self.bytes_up)} ↓ {size(self.bytes_down)}",
            count(self.sync_points, "sync point"),
            *self.detours,
            *([ending(self.expiry)] if self.expiry is not None and self.expiry.soon else []),
        ]
        return " · ".join(parts)

    def _repr_mimebundle_(self, **_formats: object) -> MimeBundle:
        line = escape(str(self))
        if not self.lines:
            return {"text/plain": str(self), "text/html": block(line, quiet=True)}
        table = lines_table(self.lines, self.lines[0].cell, _LINES)
        details = f"<details><summary>{line}</summary>{advice_html(self.advice)}{table.html()}</details>"
        return {"text/plain": str(self), "text/html": block(details, quiet=True)}
