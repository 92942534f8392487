"""A process that the fork server made for us: heard once, watched, ended."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from skytorch_server.session.spec import Started

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

# The first one may have to wait until torch is imported, or the native part compiled.
_START_SECONDS = 180.0
_END_SECONDS = 2.0


class ChildError(RuntimeError):
    """A process did not come up; the message says why."""


class ChildProcess:
    """A running process and our end of its connection."""

    def __init__(self, process: ForkServerProcess, connection: Connection) -> None:
        self.pid = process.pid or 0
        loop = asyncio.get_running_loop()
        #: Why the process ended; set when it has.
        self.ended: asyncio.Future[str] = loop.create_future()
        self._process = process
        self._connection = connection
        loop.add_reader(process.sentinel, self._note_end)

    async def started(self) -> Started:
        """Waits for the one message by which the process says that it is up.

        Raises:
            ChildError: it can't come up, has ended, or said nothing in time.
        """
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()
        happens: list[asyncio.Future[Any]] = [readable, self.ended]

        def note() -> None:
            loop.remove_reader(self._connection.fileno())
            readable.set_result(None)

        loop.add_reader(self._connection.fileno(), note)
        try:
            await asyncio.wait(happens, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._connection.fileno())
        if readable.done():
            try:
                started = Started.from_bytes(self._connection.recv_bytes())
            except EOFError:
                await asyncio.wait([self.ended], timeout=_END_SECONDS)
            else:
                if started.error:
                    raise ChildError(started.error)
                return started
        if self.ended.done():
            raise ChildError(self.ended.result())
        raise ChildError(f"its process did not come up within {_START_SECONDS:.0f} s")

    async def end(self) -> bool:
        """Asks the process to end; False when it had to be killed."""
        # A connection that closes without a word would mean that the front is gone.
        with suppress(OSError):
            self._connection.send_bytes(b"end")
        self._connection.close()
        if await self._ends_in_time():
            return True
        self._process.kill()
        await self._ends_in_time()
        return False

    def kill(self) -> None:
        """Ends the process without a word."""
        if not self.ended.done():
            self._process.kill()

    async def _ends_in_time(self) -> bool:
        done, _ = await asyncio.wait([self.ended], timeout=_END_SECONDS)
        return bool(done)

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        code = self._process.exitcode
        self._process.close()
        self.ended.set_result(_describe(code))


def _describe(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        advice = " (out of memory?)" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{advice}"
    return f"its process ended with status {code}"
