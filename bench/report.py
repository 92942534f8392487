"""The table that a run ends with, for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .figure import Figure, Spread

COLUMNS = ("figure", "unit", "sky", "beside it", "ratio", "target", "")


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table whose columns line up."""
    rows = [COLUMNS, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    target = ""
    if figure.target:
        sign = "≥" if figure.target.at_least else "≤"
        target = f"{sign} {figure.target.bound:g}{'x' if figure.target.of_ratio else ' ' + figure.unit}"
    beside = f"{_spread(figure.beside)} {figure.yardstick}" if figure.beside else ""
    ratio = f"{_spread(figure.ratio)}" if figure.ratio else ""
    verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
    return figure.name, figure.unit, _spread(figure.sky), beside, ratio, target, verdict


def _spread(spread: Spread) -> str:
    if spread.p10 == spread.p90:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.p10)}..{_number(spread.p90)})"


def _number(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004


def text(figures: Sequence[Figure], machine: dict[str, object]) -> str:
    """The whole report as Markdown."""
    described = ", ".join(f"{name} {value}" for name, value in machine.items() if value is not None)
    note = "Median (p10..p90). A ratio is sky over what stands beside it, of pairs measured in turn; one thread each."
    return f"{table(figures)}\n\n{note}\n\n{described}\n"


def write(figures: Sequence[Figure], machine: dict[str, object], folder: Path) -> list[Path]:
    """Writes the report into `folder` as results.md and results.json; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, data = folder / "results.md", folder / "results.json"
    markdown.write_text(text(figures, machine), encoding="utf-8")
    entries = [{**asdict(figure), "met": figure.met} for figure in figures]
    data.write_text(json.dumps({"machine": machine, "figures": entries}, indent=1) + "\n", encoding="utf-8")
    return [markdown, data]
