"""How a long wait is made known: silently, unless whoever shows things to people has said how."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Show", "show_with", "waiting"]


class Show(Protocol):
    """Shows a text for as long as the context lasts; the context's value changes the text."""

    def __call__(self, text: str, /) -> AbstractContextManager[Callable[[str], None]]: ...


@contextmanager
def _silently(_text: str, /) -> Iterator[Callable[[str], None]]:
    yield lambda _text: None


_show: Show = _silently


def show_with(show: Show | None) -> None:
    """Show waits from now on with `show`, or no longer."""
    global _show  # noqa: PLW0603
    _show = show or _silently


def waiting(text: str) -> AbstractContextManager[Callable[[str], None]]:
    """Say what is being waited for; the context's value says it anew."""
    return _show(text)
