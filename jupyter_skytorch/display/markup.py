"""The little HTML that outputs share. All text is escaped on the way in."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MimeBundle", "block", "dot", "table"]

MimeBundle = dict[str, str]

_FONT = (
    "font-family: var(--jp-ui-font-family, sans-serif); font-size: var(--jp-ui-font-size1, 13px); "
    "color: var(--jp-ui-font-color1, inherit)"
)
_CELL = "text-align: left; padding: 2px 12px 2px 0; border: none"
_COLOURS = {
    "connected": "var(--jp-success-color1, green)",
    "ready": "var(--jp-success-color1, green)",
    "pending": "var(--jp-warn-color1, orange)",
    "lost": "var(--jp-error-color1, red)",
    "closed": "var(--jp-ui-font-color3, gray)",
}


def block(content: str, *, quiet: bool = False) -> str:
    """Wrap HTML in the notebook's own font; quiet text is a shade lighter."""
    colour = "; color: var(--jp-ui-font-color2, gray)" if quiet else ""
    return f'<div style="{_FONT}{colour}">{content}</div>'


def dot(state: str) -> str:
    """Return a coloured dot for a state; the state itself stands beside it in words."""
    colour = _COLOURS.get(state, _COLOURS["closed"])
    return f'<span aria-hidden="true" style="color: {colour}">●</span>'


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, escaped: bool = False) -> str:
    """Return a table. Cells are text, unless they are said to be HTML that is escaped already."""
    head = "".join(f'<th scope="col" style="{_CELL}; font-weight: 600">{escape(text)}</th>' for text in headers)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{cell if escaped else escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    start = f"<thead><tr>{head}</tr></thead>" if headers else ""
    return f'<table style="border: none; background: none">{start}<tbody>{body}</tbody></table>'
