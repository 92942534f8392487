"""Numbers with units, for people."""

from __future__ import annotations

from skytorch_wire.sizes import size_text

__all__ = ["count", "duration", "quantity", "size"]

_MINUTE = 60.0
_HOUR = 3600.0


def size(value: float) -> str:
    """Write a number of bytes: "512 B", "1.4 MiB"."""
    return size_text(value, digits=3)


def duration(seconds: float) -> str:
    """Write a time in seconds: "240 µs", "12.1 ms", "1.24 s", "2 min 5 s", "3 h 12 min"."""
    if seconds < 1e-3:  # noqa: PLR2004
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:  # noqa: PLR2004  (what would be 1000 ms)
        return f"{seconds * 1e3:.3g} ms"
    if seconds < _MINUTE:
        return f"{seconds:.3g} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"


def count(number: int, noun: str) -> str:
    """Write "1 op", "12,345 ops"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def quantity(value: float, unit: str) -> str:
    """Write the value of a metric in its unit."""
    if unit == "B":
        return size(value)
    if unit == "s":
        return duration(value)
    number = f"{value:,.0f}" if value == int(value) or abs(value) >= 999.5 else f"{value:.3g}"  # noqa: PLR2004
    return number if unit in {"", "1"} else f"{number} {unit}"
