"""Times as people write them: "90", "90s", "5m", "1.5h", "2d"."""

from __future__ import annotations

import re

__all__ = ["parse_duration"]

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_WRITTEN = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[smhd]?)")


def parse_duration(text: str) -> float:
    """Read a time in seconds, or in the unit that it says.

    Raises ValueError, one line.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a time, as 90, 90s, 5m, 1h or 2d")
    return float(found["number"]) * _UNITS[found["unit"]]
