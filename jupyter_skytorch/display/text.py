"""Plain words of the extension in a cell's output."""

from __future__ import annotations

from html import escape

from IPython.display import display

from .markup import block

__all__ = ["tell"]


def tell(text: str) -> None:
    """Show lines of text as they are."""
    text = text.rstrip()
    pre = f'<pre style="font: inherit; white-space: pre-wrap; margin: 0">{escape(text)}</pre>'
    if "\n" in text:
        # Columns of several lines are aligned for a font of one width.
        pre = f'<pre style="white-space: pre-wrap; margin: 0">{escape(text)}</pre>'
    display({"text/plain": text, "text/html": block(pre, quiet=True)}, raw=True)
