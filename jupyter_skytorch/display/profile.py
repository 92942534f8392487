"""How a profile looks: a line that sums it up, advice, and tables by line and by op; as text, HTML and a page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .columns import Columns
from .markup import MimeBundle, block
from .quantities import count, duration, size

if TYPE_CHECKING:
    from jupyter_skytorch.compute.advice import Advice
    from jupyter_skytorch.compute.profile import LineCost, Profile

__all__ = ["advice_html", "lines_table", "profile_bundle", "profile_page"]

_LINES = 30
_OPS = 15
_SOURCE = 60


def profile_bundle(profile: Profile, *_formats: object, **_more: object) -> MimeBundle:
    """Show a profile in a cell."""
    return {"text/plain": _text(profile), "text/html": block(_html(profile))}


def profile_page(profile: Profile) -> str:
    """Return a page of its own, light or dark as the reader's system is."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(_title(profile))}</title>"
        "<style>:root { color-scheme: light dark } body { margin: 2em }</style></head>"
        f"<body>{block(_html(profile))}</body></html>\n"
    )


def _title(profile: Profile) -> str:
    return f"profile of cell {profile.cell} on {profile.where}"


def _summary(profile: Profile) -> str:
    wall, wait = profile.wall_seconds, profile.wait_seconds
    return (
        f"{_title(profile)}: wall {duration(wall)} = issue {duration(max(wall - wait, 0.0))} + wait {duration(wait)}; "
        f"the server worked {duration(profile.remote_seconds)} of it"
    )


def _text(profile: Profile) -> str:
    parts = [_summary(profile), *(f"- {advice}" for advice in profile.advice)]
    parts += ["\n" + table.text() for table in _tables(profile)]
    return "\n".join([*parts, *_notes(profile)])


def _html(profile: Profile) -> str:
    notes = "".join(f"<p>{escape(note)}</p>" for note in _notes(profile))
    tables = "".join(table.html() for table in _tables(profile))
    return f"<div>{escape(_summary(profile))}</div>{advice_html(profile.advice)}{tables}{notes}"


def advice_html(advice: tuple[Advice, ...]) -> str:
    """Return what is advised as a list."""
    if not advice:
        return ""
    items = "".join(f"<li><strong>{escape(each.finding)}.</strong> {escape(each.instead)}.</li>" for each in advice)
    return f'<ul style="margin: 4px 0; padding-left: 1.5em">{items}</ul>'


def _notes(profile: Profile) -> list[str]:
    if not profile.dropped:
        return []
    return [f"A trace holds the first spans only; {profile.dropped:,} more are in the sums alone."]


def _tables(profile: Profile) -> list[Columns]:
    tables = [lines_table(profile.lines, profile.cell, _LINES)]
    if profile.ops:
        tables.append(_ops(profile))
    return tables


def lines_table(lines: tuple[LineCost, ...], cell: int, most: int) -> Columns:
    """Return the most costly lines, the cell's own first. Times are shown where they were taken."""
    timed = any(line.wall_seconds for line in lines)
    costly = sorted(lines, key=lambda line: (line.wall_seconds + line.remote_seconds, line.wait_seconds, line.ops))
    shown = sorted(costly[-most:], key=lambda line: (line.line == 0, line.cell != cell, line.cell, line.line))
    caption = "by line" + (f", the {most} most costly of {len(lines)}" if len(lines) > most else "")
    headers = ["line", "source", *(["times", "issue"] if timed else []), "wait", *(["remote"] if timed else [])]
    headers += ["ops", "↑", "↓", "sync points"]
    return Columns(caption, headers, [_row(line, cell, timed=timed) for line in shown], words=2, code=1)


def _row(line: LineCost, cell: int, *, timed: bool) -> list[str]:
    source = line.source.text if line.line else "(the end: what is left to be done)"
    return [
        _place(line, cell),
        source if len(source) <= _SOURCE else source[: _SOURCE - 1] + "…",
        *([f"{line.visits:,}" if line.visits else "", _time(line.issue_seconds)] if timed else []),
        _time(line.wait_seconds),
        *([_time(line.remote_seconds)] if timed else []),
        f"{line.ops:,}" if line.ops else "",
        size(line.bytes_up) if line.bytes_up else "",
        size(line.bytes_down) if line.bytes_down else "",
        f"{line.sync_points:,}" if line.sync_points else "",
    ]


def _place(line: LineCost, cell: int) -> str:
    if not line.line:
        return "-"
    return str(line.line) if line.cell == cell else f"{line.line} in cell {line.cell}"


def _time(seconds: float) -> str:
    return duration(seconds) if seconds else ""


def _ops(profile: Profile) -> Columns:
    whole = max(sum(op.remote_seconds for op in profile.ops), 1e-12)
    rows = [
        [
            op.name,
            f"{op.count:,}",
            duration(op.remote_seconds),
            duration(op.remote_seconds / op.count),
            f"{op.remote_seconds / whole * 100:.0f} %",
        ]
        for op in profile.ops[:_OPS]
    ]
    more = f", the first {_OPS} of {count(len(profile.ops), 'kind')}" if len(profile.ops) > _OPS else ""
    return Columns(f"by op{more}", ["op", "calls", "remote", "each", "share"], rows)
