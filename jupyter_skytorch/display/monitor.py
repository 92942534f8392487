"""``%sky monitor``: a Compute's metrics and session, live in a cell."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from jupyter_skytorch.device.errors import SkyError

from .metrics import Course

if TYPE_CHECKING:
    from jupyter_skytorch.compute import Compute

__all__ = ["Monitor"]

_EVERY_SECONDS = 1.0
_UNSEEN_SECONDS = 90.0
"""It asks no longer than this after somebody last looked; a view says so every 30 s, and again when it comes back."""


class Monitor(anywidget.AnyWidget):
    """A live view, which stops asking when it is closed, when nobody looks, and when the Compute is gone."""

    _esm = Path(__file__).with_name("monitor.js")
    html = traitlets.Unicode("").tag(sync=True)

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._course = Course(compute.name)
        self._stop = threading.Event()
        self._views = 0
        self._seen = time.monotonic()
        self._thread: threading.Thread | None = None
        super().__init__()
        self._ask()
        self.on_msg(self._on_view)
        self._start()

    def close(self) -> None:
        """Stop asking and remove the views."""
        self._stop.set()
        super().close()

    def _on_view(self, _widget: object, content: dict[str, object], _buffers: object) -> None:
        if content.get("kind") == "gone":
            # Another view of it says within 30 s that it is there.
            self._seen = time.monotonic() - _UNSEEN_SECONDS / 2
        else:
            self._seen = time.monotonic()
            self._start()

    def _start(self) -> None:
        if (self._thread is None or not self._thread.is_alive()) and not self._stop.is_set():
            self._thread = threading.Thread(target=self._run, name="skytorch-monitor", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS) and time.monotonic() - self._seen < _UNSEEN_SECONDS:
            if not self._ask():
                return

    def _ask(self) -> bool:
        """Ask once and show the answer. False when there will be none any more."""
        try:
            metrics = self._compute.metrics()
        except SkyError:
            # The status says what became of it.
            metrics = []
        status = self._compute.status()
        self._course.add(status, metrics)
        self.html = self._course.html()
        return status.state == "connected"

    def _repr_mimebundle_(self, **formats: Any) -> Any:
        # The other forms are what a reopened or exported notebook shows, where no widget lives.
        bundle = super()._repr_mimebundle_(**formats)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**(data or {}), "text/plain": self._course.text(), "text/html": self.html}, metadata
