"""Looking at what a session holds, in the order of its log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .executor import Executor, NamedObject


async def visit(executor: Executor, look: Callable[[list[NamedObject]], list[NamedObject]]) -> None:
    """As :meth:`.Executor.visit`; returns when `look` has been called, and raises what it raises."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def visitor(there: list[NamedObject]) -> list[NamedObject]:
        try:
            more = look(there)
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to whoever waits
            loop.call_soon_threadsafe(finish, error)
            return []
        loop.call_soon_threadsafe(finish, None)
        return more

    executor.visit(visitor)
    await done
