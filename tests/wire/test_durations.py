"""Times in words."""

from __future__ import annotations

import pytest

from skytorch_wire.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("0", 0), ("1.5", 1.5), ("5m", 300), (" 1.5 h ", 5400), ("2d", 172800)],
)
def test_seconds_or_another_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1", "1e3", "nan", "inf", "5 min", "1h30m", "٣"])
def test_all_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time, as 90, 90s, 5m, 1h or 2d$"):
        parse_duration(text)
