"""Files are short enough to hold in the head, and named after their one concern."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = [
    "proto",
    "server",
    "jupyter_skytorch",
    "labextension/src",
    "labextension/style",
    "notebooks",
    "bench",
    "tests",
]
SUFFIXES = {".py", ".pyi", ".cpp", ".h", ".ts", ".tsx", ".proto"}
LONGEST = 500
USUAL = 300


def sources() -> list[Path]:
    """Every source file that people write."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    bundle = ROOT / "jupyter_skytorch/labextension"
    return [path for path in files if "_pb2" not in path.name and bundle not in path.parents]


def test_no_file_is_longer_than_500_lines_and_most_are_under_300() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
    long = [name for name, lines in lengths.items() if lines > USUAL]
    assert len(long) < len(lengths) / 10, long


def test_no_file_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert [str(path.relative_to(ROOT)) for path in sources() if path.stem.lower() in drawers] == []
