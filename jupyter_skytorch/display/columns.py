"""A table in a cell's output: words to the left, numbers to the right, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Columns"]

_CELL = "padding: 2px 12px 2px 0; border: none"
_NUMBER = f"{_CELL}; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap"
_TABLE = "border: none; background: none; margin: 0"
_CAPTION = "caption-side: top; text-align: left; font-weight: 600; padding: 8px 0 2px 0; color: inherit"
_CODE = "font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px)"


@dataclass(frozen=True)
class Columns:
    """Rows of equal length. The first column names its row; the first `words` columns are words, the others numbers."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    code: int = -1
    """A column with code, which is shown as such."""

    def text(self) -> str:
        """The table with its columns lined up, the caption above it."""
        lines = [self.headers, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headers))]
        aligned = [
            "  ".join(
                cell.ljust(width) if column < self.words else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.caption, *(f"  {line}" for line in aligned)])

    def html(self) -> str:
        """The table with a caption and with headers of its columns and rows."""
        head = "".join(
            f'<th scope="col" style="{self._style(at)}">{escape(text)}</th>' for at, text in enumerate(self.headers)
        )
        body = "".join(f"<tr>{self._row(row)}</tr>" for row in self.rows)
        caption = f'<caption style="{_CAPTION}">{escape(self.caption)}</caption>'
        return f'<table style="{_TABLE}">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def _row(self, row: Sequence[str]) -> str:
        name, *cells = row
        first = f'<th scope="row" style="{self._style(0)}; font-weight: inherit">{escape(name)}</th>'
        return first + "".join(f'<td style="{self._style(at)}">{escape(text)}</td>' for at, text in enumerate(cells, 1))

    def _style(self, column: int) -> str:
        style = f"{_CELL}; text-align: left" if column < self.words else _NUMBER
        return f"{style}; {_CODE}" if column == self.code else style
