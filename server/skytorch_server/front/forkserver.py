"""The fork server: a process that has imported torch, and from which every session's process is forked."""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing import forkserver
from typing import TYPE_CHECKING

from skytorch_server.daemon_thread import in_daemon_thread

from .child_process import ChildError, ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable

_PRELOAD = ["skytorch_server.session.preload"]


class ForkServer:
    """Starts processes that share torch's code with each other.

    It is the one of :mod:`multiprocessing`, of which a Python process has one. It ends when its parent does.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOAD)
        self._one_at_a_time = asyncio.Lock()

    def warm_up(self) -> None:
        """Begins to import torch in the fork server; returns at once."""
        forkserver.ensure_running()

    async def start(self, main: Callable[..., None], *arguments: object) -> ChildProcess:
        """Runs `main(*arguments, connection)` in a new process.

        Raises:
            ChildError: the fork server is gone.
        """
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=main, args=(*arguments, theirs))
        try:
            async with self._one_at_a_time:
                # Waits until torch is imported, the first time.
                await in_daemon_thread(process.start)
        except (OSError, EOFError) as error:
            raise ChildError(f"the fork server does not answer ({error})") from error
        finally:
            theirs.close()
        return ChildProcess(process, ours)
