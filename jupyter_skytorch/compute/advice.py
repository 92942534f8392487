"""What a cell could do otherwise: the rules, by line, from what each line has cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .profile import LineCost

__all__ = ["Advice", "advise"]

_MANY = 10
"""So many round trips of one line are a habit."""
_MANY_UPLOADS = 50
_TINY_BYTES = 64 * 1024
_NOTABLE = 0.03
"""Of the cell's time. What costs less isn't worth a word."""


@dataclass(frozen=True)
class Advice:
    """One sentence on what a line costs, and one on what to do instead."""

    cell: int
    line: int
    finding: str
    count: int
    """Round trips, or uploads."""
    share: float
    """Of the cell's time, 0 to 1."""
    instead: str

    def __str__(self) -> str:
        return f"{self.finding}. {self.instead}."


@dataclass(frozen=True)
class _Rule:
    applies: Callable[[LineCost], bool]
    finding: str
    """May name {source}, {often}, {count}, {share}, {op} and {size}."""
    instead: str
    count: Callable[[LineCost], int] = lambda line: line.sync_points
    seconds: Callable[[LineCost], float] = lambda line: line.sync_seconds


_TRIPS = "{source} {often}: {count} round trips, {share} of this cell"

# The first that applies to a line speaks for it.
_RULES = (
    _Rule(
        lambda line: line.asks >= _MANY and line.asks * 2 >= line.sync_points,
        "{source} asks for the shape of what {op} returns {often}: {count} round trips, {share} of this cell",
        "A shape that doesn't depend on data needs no round trip: torch.where(mask, a, b) instead of a[mask], "
        "mask.sum() instead of counting what is left",
    ),
    _Rule(
        lambda line: line.sync_points >= _MANY and line.source.decides,
        _TRIPS,
        "Python has to know the value to go on: decide on every 10th step only, or on the device, with torch.where",
    ),
    _Rule(
        lambda line: line.sync_points >= _MANY and line.source.prints,
        _TRIPS,
        "Print every 100th step only, or keep loss.detach() in a list and print after the loop",
    ),
    _Rule(
        lambda line: line.sync_points >= _MANY,
        _TRIPS,
        "Keep what is needed on the device, losses.append(loss.detach()), and read it once after the loop: "
        "torch.stack(losses).cpu()",
    ),
    _Rule(
        lambda line: line.uploads >= _MANY_UPLOADS and line.upload_bytes < line.uploads * _TINY_BYTES,
        "{source} {often}: {count} uploads of {size} each, {share} of this cell",
        'Move the whole of it once, before the loop: data = data.to("sky"), and take batches of that',
        count=lambda line: line.uploads,
        seconds=lambda line: line.wall_seconds,
    ),
)


def advise(lines: Iterable[LineCost], wall_seconds: float) -> tuple[Advice, ...]:
    """What is worth saying about a cell that took so long, the largest share first."""
    found = [advice for line in lines if line.line and (advice := _of(line, max(wall_seconds, 1e-9)))]
    return tuple(sorted(found, key=lambda advice: -advice.share))


def _of(line: LineCost, wall_seconds: float) -> Advice | None:
    rule = next((rule for rule in _RULES if rule.applies(line)), None)
    if rule is None:
        return None
    count, share = rule.count(line), min(rule.seconds(line) / wall_seconds, 1.0)
    if share < _NOTABLE:
        return None
    finding = rule.finding.format(
        source=_shown(line),
        often=_often(line, count),
        count=f"{count:,}",
        share=f"{share * 100:.0f} %",
        op=line.asked.removeprefix("aten::"),
        size=f"{line.upload_bytes // max(line.uploads, 1):,} bytes",
    )
    return Advice(line.cell, line.line, f"line {line.line}: {finding}", count, share, rule.instead)


def _shown(line: LineCost) -> str:
    text = line.source.text
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


_SHOWN = 60


def _often(line: LineCost, count: int) -> str:
    if line.visits > 1 or (line.source.in_loop and not line.visits):
        return "every step" if count >= line.visits * 0.9 else "again and again"
    return "again and again" if line.source.in_loop else "in what it calls"
