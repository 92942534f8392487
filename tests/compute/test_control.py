"""The control thread: results, time limits and interrupts."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from jupyter_skytorch.session import control


def test_every_caller_gets_the_same_loop() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert control.get().run(loop(), 5.0) is control.get().spawn(loop()).result(5.0)


def test_what_takes_too_long_is_cancelled() -> None:
    cancelled = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError):
        control.get().run(forever(), 0.05)
    assert cancelled.wait(5.0)


def test_an_interrupt_ends_the_wait_and_what_was_waited_for() -> None:
    cancelled, main = threading.Event(), threading.main_thread()

    async def interrupting() -> None:
        try:
            os.kill(os.getpid(), 2)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    assert threading.current_thread() is main
    with pytest.raises(KeyboardInterrupt):
        control.get().run(interrupting(), 20.0)
    assert cancelled.wait(5.0)


def test_waiting_on_the_control_thread_itself_is_refused() -> None:
    async def nested() -> None:
        async def inner() -> None: ...

        control.get().run(inner(), 1.0)

    with pytest.raises(RuntimeError, match="control thread"):
        control.get().run(nested(), 5.0)


def test_a_forked_child_gets_a_loop_of_its_own() -> None:
    control.get()
    pid = os.fork()
    if pid == 0:

        async def number() -> int:
            return 7

        os._exit(control.get().run(number(), 5.0))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
