"""What is said while a Compute is waited for."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes_asyncio.client import CoreV1Event

__all__ = ["Telling"]

_EVENTS = 3
_LONGEST = 200


class Telling:
    """How it is, in one line, and below that what the cluster did last."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name = name
        self._say = say
        self._phase = ""
        self._events: deque[str] = deque(maxlen=_EVENTS)

    def phase(self, phase: str) -> None:
        """It is so now."""
        self._phase = phase
        self._tell()

    def event(self, event: CoreV1Event) -> None:
        """This happened."""
        about = event.involved_object
        said = " ".join((event.message or event.reason or "").split())[:_LONGEST]
        line = f"{about.kind} {about.name}: {said}"
        # One that happens again and again is told anew each time, with its count.
        if line in self._events:
            self._events.remove(line)
        self._events.append(line)
        self._tell()

    def _tell(self) -> None:
        self._say("\n".join([f"waiting for {self._name}: {self._phase}", *self._events]))
