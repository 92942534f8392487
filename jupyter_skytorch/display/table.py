"""A list of things that shows itself as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

from .markup import MimeBundle, block, table

__all__ = ["Table"]

T = TypeVar("T")


class Table(Sequence[T]):
    """A sequence of items, shown with one row an item."""

    def __init__(
        self, items: Sequence[T], headers: Sequence[str], row: Callable[[T], Sequence[str]], *, empty: str
    ) -> None:
        """`row` gives an item's cells; `empty` is shown when there are no items."""
        self._items = tuple(items)
        self._headers = tuple(headers)
        self._rows = [tuple(row(item)) for item in self._items]
        self._empty = empty

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        if not self._rows:
            return self._empty
        lines = [self._headers, *self._rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self._headers))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def _repr_mimebundle_(self, **_formats: object) -> MimeBundle:
        html = block(table(self._headers, self._rows) if self._rows else self._empty)
        return {"text/plain": repr(self), "text/html": html}
