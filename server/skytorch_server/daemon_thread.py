"""Blocking calls that must not hold up the end of the process."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_daemon_thread(function: Callable[[], T]) -> T:
    """Runs `function` in a thread of its own and returns its result.

    Unlike :func:`asyncio.to_thread`, the process can end while the thread still waits for a driver or a child.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.cancelled():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]

    def work() -> None:
        value, problem = None, None
        try:
            value = function()
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            problem = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, problem)

    threading.Thread(target=work, name="skytorch-blocking", daemon=True).start()
    return await result
