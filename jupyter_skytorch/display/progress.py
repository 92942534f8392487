"""A line or a few that say what is being waited for, and that go away afterwards."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Protocol

from IPython import get_ipython
from IPython.display import DisplayHandle

from .markup import block
from .quantities import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from .running import Running

__all__ = ["progress"]

_REFRESH_SECONDS = 1.0


class _Outlet(Protocol):
    def show(self, text: str) -> None: ...
    def clear(self) -> None: ...


class _Cell:
    """An output of the notebook cell that is updated in place."""

    def __init__(self) -> None:
        self._handle = DisplayHandle()
        self._shown = False

    def show(self, text: str) -> None:
        bundle = {"text/plain": text, "text/html": block(escape(text).replace("\n", "<br>"), quiet=True)}
        if self._shown:
            self._handle.update(bundle, raw=True)
        else:
            self._handle.display(bundle, raw=True)
        self._shown = True

    def clear(self) -> None:
        # Only all outputs of a cell can be removed; one of them can be emptied.
        self._handle.update({"text/plain": "", "text/html": ""}, raw=True)


class _Terminal:
    """The current line of a terminal, and those below it."""

    def __init__(self) -> None:
        self._above = 0

    def show(self, text: str) -> None:
        # Lines that wrapped would be more than are known of.
        width = shutil.get_terminal_size().columns - 1
        lines = [line[:width] for line in text.split("\n")]
        up = f"\x1b[{self._above}A" if self._above else ""
        sys.stderr.write(f"\r{up}\x1b[J" + "\n".join(lines))
        sys.stderr.flush()
        self._above = len(lines) - 1

    def clear(self) -> None:
        self.show("")


class _Line:
    """Shows a text with the time that has passed, from a thread, because the main one is waiting."""

    def __init__(self, shell: InteractiveShell, running: Running, text: str, delay: float) -> None:
        self.text = text
        self._outlet = _Cell if hasattr(shell, "kernel") else _Terminal
        self._running = running
        self._delay = delay
        self._began = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="skytorch-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if self._done.wait(self._delay):
            return
        shown: _Outlet | None = None
        cell: object | None = None
        while True:
            # What isn't waited for isn't told: some waits outlast the cell in which they began, or begin in none.
            if shown is not None and cell is not self._running.cell:
                shown.clear()
                shown = None
            if shown is None and (cell := self._running.cell) is not None:
                shown = self._outlet()
            if shown is not None:
                first, newline, more = self.text.partition("\n")
                shown.show(f"{first} ({duration(time.monotonic() - self._began)}){newline}{more}")
            if self._done.wait(_REFRESH_SECONDS):
                break
        if shown is not None:
            shown.clear()

    def end(self) -> None:
        self._done.set()
        self._thread.join(_REFRESH_SECONDS)

    def say(self, text: str) -> None:
        self.text = text


@contextmanager
def progress(text: str, delay: float, running: Running) -> Iterator[Callable[[str], None]]:
    """Show `text` and the time that has passed while the block runs, once it has taken `delay` seconds.

    The time stands behind the first line of the text; what more there is of it is told below.
    It is shown in the cell that runs; between cells it isn't. The value of the context changes the text. Shows nothing
    where nobody looks: outside IPython.
    """
    shell = get_ipython()
    if shell is None:
        yield lambda _text: None
        return
    line = _Line(shell, running, text, delay)
    try:
        yield line.say
    finally:
        line.end()
