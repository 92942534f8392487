"""Calls what a user gave, with one thing after another, on a thread of its own: it may take its time, or fail."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Caller"]

T = TypeVar("T")

_MOST = 1000
_log = logging.getLogger("jupyter_skytorch")


class Caller(Generic[T]):
    """The thread ends with :meth:`stop`. What a callback can't keep up with is dropped, the newest first."""

    def __init__(self, callback: Callable[[T], object], what: str) -> None:
        """`what` it is called, for the log: "on_events"."""
        self._callback = callback
        self._what = what
        self._waiting: queue.Queue[tuple[T] | None] = queue.Queue(_MOST)
        self._stopped = False
        threading.Thread(target=self._run, name=f"skytorch-{what}", daemon=True).start()

    def tell(self, thing: T) -> None:
        """Have the callback called with it; never waits."""
        try:
            self._waiting.put_nowait((thing,))
        except queue.Full:
            _log.warning("%s doesn't keep up: something was left out", self._what)

    def stop(self) -> None:
        """Call it no more."""
        self._stopped = True
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def _run(self) -> None:
        while (waiting := self._waiting.get()) is not None and not self._stopped:
            try:
                self._callback(*waiting)
            except Exception:  # noqa: BLE001  (it is the user's)
                _log.exception("%s failed", self._what)
