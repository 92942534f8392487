"""One measured figure: sky beside its yardstick, and what was hoped for."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Spread:
    """The middle of some measurements, and where the inner eight tenths of them lie."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        ordered = sorted(values)
        last = len(ordered) - 1
        return cls(statistics.median(ordered), ordered[round(0.1 * last)], ordered[round(0.9 * last)])


@dataclass(frozen=True)
class Target:
    """A bound that the median of a figure should keep: of its ratio to the yardstick, or of sky's own measurement."""

    bound: float
    at_least: bool = False
    of_ratio: bool = True

    def met(self, value: float) -> bool:
        """Whether `value` keeps the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True)
class Figure:
    """A row of the table: `sky` and `beside` in `unit`, and `ratio`, sky over the yardstick, pair by pair."""

    name: str
    unit: str
    sky: Spread
    beside: Spread | None = None
    ratio: Spread | None = None
    target: Target | None = None
    yardstick: str = "local torch"

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        judged = self.ratio if self.target.of_ratio else self.sky
        return judged is not None and self.target.met(judged.median)


def paired(
    name: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    target: Target | None = None,
    yardstick: str = "local torch",
) -> Figure:
    """A figure from measurements (sky, yardstick) made in turn."""
    return Figure(
        name=name,
        unit=unit,
        sky=Spread.of([sky for sky, _ in pairs]),
        beside=Spread.of([beside for _, beside in pairs]),
        ratio=Spread.of([sky / beside for sky, beside in pairs]),
        target=target,
        yardstick=yardstick,
    )


def alone(name: str, unit: str, values: Sequence[float], at_most: float) -> Figure:
    """A figure with nothing local to compare it with."""
    return Figure(name=name, unit=unit, sky=Spread.of(values), target=Target(at_most, of_ratio=False))


def in_turn(
    rounds: int, sky: Callable[[], Measured], beside: Callable[[], Measured]
) -> list[tuple[Measured, Measured]]:
    """`rounds` pairs of what `sky` and `beside` measure, after one to warm up; every second pair is turned round."""
    pairs = []
    for index in range(rounds + 1):
        if index % 2:
            measured_beside = beside()
            measured_sky = sky()
        else:
            measured_sky = sky()
            measured_beside = beside()
        if index:
            pairs.append((measured_sky, measured_beside))
    return pairs
