"""The course of a number over time, as a small SVG in the colours of the theme."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["sparkline"]

_WIDTH = 120
_HEIGHT = 20
_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], label: str, *, top: float | None = None) -> str:
    """Draw the values from left to right; the label is for those who cannot see it. `top` fixes the scale's end."""
    if not values:
        return ""
    low, high = _range(values, top)
    step = _WIDTH / max(len(values) - 1, 1)
    points = " ".join(
        f"{index * step:.1f},{_HEIGHT - 1 - (min(value, high) - low) / (high - low) * (_HEIGHT - 2):.1f}"
        for index, value in enumerate(values if len(values) > 1 else [*values, *values])
    )
    return (
        f'<svg role="img" aria-label="{escape(label)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}"><polyline points="{points}" fill="none" stroke-width="1.5" '
        'style="stroke: var(--jp-brand-color1, currentColor)"></polyline></svg>'
    )


def _range(values: Sequence[float], top: float | None) -> tuple[float, float]:
    low = 0.0 if top is not None else min(values)
    high = top if top is not None else max(values)
    # A flat line runs along the bottom.
    return low, high if high > low else low + 1.0
