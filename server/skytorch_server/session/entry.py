"""Where the processes made by the fork server begin.

The front refers to these functions, so this module imports neither torch nor gRPC at its top.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from .spec import Started

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from .spec import SessionSpec


def run_session(spec: SessionSpec, front: Connection) -> None:
    """Serves one session until the front says so, or is gone."""
    _leave_interrupts_to_the_front()
    from . import worker

    worker.run(spec, front)


def find_devices(front: Connection) -> None:
    """Tells the front which devices sessions will find. Initialises CUDA, hence in a process of its own."""
    _leave_interrupts_to_the_front()
    try:
        from .devices import found

        answer = Started(devices=tuple(found()))
    except Exception as error:  # noqa: BLE001 - whatever torch or a driver raises has to reach the user
        answer = Started(error=f"{type(error).__name__}: {error}")
    front.send_bytes(answer.to_bytes())


def _leave_interrupts_to_the_front() -> None:
    # Ctrl-C in a terminal reaches the whole process group; ending the workers is the front's job.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
