"""The fork server: a process that has imported torch, and from which every session's process is forked."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from multiprocessing import forkserver
from typing import TYPE_CHECKING

from skytorch_server.daemon_thread import in_daemon_thread

from .child_process import ChildError, ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable

_PRELOAD = ["skytorch_server.session.preload"]


def warm_up() -> None:
    """Begins to import torch in the fork server; returns at once."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOAD)
    forkserver.ensure_running()


class ForkServer:
    """Starts processes that share torch's code with each other.

    It is the one of :mod:`multiprocessing`, of which a Python process has one. It ends when its parent does.
    """

    def __init__(self) -> None:
        warm_up()
        self._context = multiprocessing.get_context("forkserver")
        self._one_at_a_time = asyncio.Lock()

    async def start(self, main: Callable[..., None], *arguments: object) -> ChildProcess:
        """Runs `main(*arguments, connection)` in a new process.

        Raises:
            ChildError: the fork server is gone.
        """
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=main, args=(*arguments, theirs))
        abandoned = threading.Event()

        def start() -> None:
            process.start()
            theirs.close()
            if abandoned.is_set():
                process.kill()

        try:
            async with self._one_at_a_time:
                # Waits until torch is imported, the first time.
                await in_daemon_thread(start)
        except (OSError, EOFError) as error:
            raise ChildError(f"the fork server does not answer ({error})") from error
        except asyncio.CancelledError:
            abandoned.set()
            if process.pid is not None:
                process.kill()
            raise
        return ChildProcess(process, ours)
