"""The one asyncio loop of the process, in a thread of its own.

Every control call of this package (sessions, leases, metrics) runs here. grpc.aio keeps state about the loop that it
first ran on, so a process has exactly one, it is never closed while calls may come, and channels are made inside it.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future

__all__ = ["Control", "get"]

T = TypeVar("T")


class _Call(Generic[T]):
    """A coroutine with a time limit that can be given up at any moment, also before it has begun."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> None:
        self._coroutine = coroutine
        self._timeout = timeout
        self._given_up = False
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> T:
        self._task = asyncio.current_task()
        if self._given_up:
            self._coroutine.close()
            raise asyncio.CancelledError
        return await asyncio.wait_for(self._coroutine, self._timeout)

    def give_up(self) -> None:
        """Called on the loop."""
        self._given_up = True
        if self._task is not None:
            self._task.cancel()


class Control:
    """Runs coroutines on the loop thread for callers on any other thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="skytorch-control", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run a coroutine on the loop and wait at most `timeout` seconds for its result.

        Whatever ends the wait early (KeyboardInterrupt included) cancels the coroutine. Raises TimeoutError when the
        time is up, RuntimeError when called on the loop's own thread, where waiting would never end.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("Control.run() was called on the control thread itself")
        call = _Call(coroutine, timeout)
        try:
            # The call keeps the time; the second bound is for a loop that is stuck.
            return self.spawn(call.run()).result(timeout + 5.0)
        except BaseException:
            # An interrupt may come before there is a future to cancel.
            self._loop.call_soon_threadsafe(call.give_up)
            raise

    def stop(self, timeout: float = 1.0) -> None:
        """Cancel what runs and end the thread, so that none of it is alive while the interpreter goes down."""

        async def end() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._loop.stop()

        self.spawn(end())
        self._thread.join(timeout)


_control: Control | None = None
_guard = threading.Lock()
_inherited: list[Control | None] = []


def get() -> Control:
    """Return the process's Control, started at the first call."""
    global _control  # noqa: PLW0603
    with _guard:
        if _control is None:
            _control = Control()
            atexit.register(_stop, os.getpid())
        return _control


def _stop(pid: int) -> None:
    if _control is not None and os.getpid() == pid:
        _control.stop()


def _forget() -> None:
    # A forked child has the objects but not the threads behind them, which gRPC's destructors wait for: whatever the
    # parent had, garbage included, is kept for the child's whole life.
    global _control, _guard  # noqa: PLW0603
    _inherited.append(_control)
    gc.freeze()
    _control = None
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_forget)
