"""Sizes in words."""

from __future__ import annotations

import pytest

from skytorch_wire.sizes import parse_size, size_text


@pytest.mark.parametrize(
    ("size", "usual", "short"),
    [
        (0, "0 B", "0 B"),
        (1023, "1023 B", "1023 B"),
        (-1536, "-1.5 KiB", "-1.5 KiB"),
        (1_234_567, "1.177 MiB", "1.18 MiB"),
        (1024 * 1024 - 200, "1024 KiB", "1024 KiB"),
        (1000 * 1024 - 100, "999.9 KiB", "1000 KiB"),
        (int(1023.4 * 2**30), "1023 GiB", "1023 GiB"),
        (2**40, "1 TiB", "1 TiB"),
        (12_345 * 2**40, "12345 TiB", "12345 TiB"),
    ],
)
def test_a_size_is_written_to_so_many_digits_and_read_again(size: int, usual: str, short: str) -> None:
    assert (size_text(size), size_text(size, digits=3)) == (usual, short)
    if size >= 0:
        assert parse_size(usual) == pytest.approx(size, rel=1e-3)
