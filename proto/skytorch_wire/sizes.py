"""Sizes in bytes as people write and read them: "512 MiB", "8GiB"."""

from __future__ import annotations

import re

__all__ = ["parse_size", "size_text"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024
_WRITTEN = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>B|[KMGT]iB)?")


def parse_size(text: str) -> int:
    """Read a number of bytes, with or without a unit of 1024s.

    Raises ValueError, one line.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a size in bytes, as 8GiB, 512MiB or 1048576")
    return int(float(found["number"]) * _STEP ** _UNITS.index(found["unit"] or "B"))


def size_text(size: float, digits: int = 4) -> str:
    """Write a number of bytes in the largest unit that it fills, to so many digits."""
    value, unit = float(size), 0
    while abs(value) >= _STEP and unit + 1 < len(_UNITS):
        value, unit = value / _STEP, unit + 1
    # Bytes are whole, and "1e+03 KiB" is no way to write 1000.
    whole = unit == 0 or abs(value) >= 10**digits - 0.5
    return f"{value:.0f} {_UNITS[unit]}" if whole else f"{value:.{digits}g} {_UNITS[unit]}"
