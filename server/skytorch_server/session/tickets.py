"""What other servers may bring to this session: a ticket for each tensor, good for one copy of so many bytes."""

from __future__ import annotations

import asyncio
import ctypes
import hmac
import threading
import time
from dataclasses import dataclass, field
from enum import Enum

import torch

__all__ = ["Ticket", "TicketError", "Tickets"]

# How long whoever is early waits: the executor may still be at what the client issued before.
_EARLY_SECONDS = 120.0


class TicketError(Exception):
    """What is brought isn't taken; the message is for whoever brings it."""


class _State(Enum):
    OPEN = "nothing came by it"
    ARRIVING = "it has not arrived"
    ARRIVED = ""
    FAILED = "the copy broke off"


@dataclass(eq=False)
class Ticket:
    """Where one tensor goes. Whoever claims it fills `memory`."""

    memory: torch.Tensor
    """All of it, as bytes."""
    deadline: float
    secret: bytes = field(repr=False)
    state: _State = _State.OPEN

    @property
    def wanted(self) -> bool:
        """Whether it has not been taken back since it was claimed."""
        return self.state is _State.ARRIVING

    def put(self, at: int, data: memoryview) -> None:
        """Copies bytes to memory that isn't the CPU's."""
        # The executor's tensors are none that autograd knows.
        with torch.inference_mode():
            self.memory[at : at + len(data)].copy_(torch.frombuffer(data, dtype=torch.uint8))

    def view(self) -> memoryview | None:
        """The memory itself, where it is the CPU's. Valid as long as this is."""
        if self.memory.device.type != "cpu":
            return None
        return memoryview((ctypes.c_char * self.memory.numel()).from_address(self.memory.data_ptr())).cast("B")


class Tickets:
    """Those of a session: given out on the executor's thread, claimed on the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._open: dict[int, Ticket] = {}
        self._highest = 0
        self._changed: asyncio.Future[None] = self._loop.create_future()

    def expect(self, number: int, memory: torch.Tensor, seconds: int, secret: bytes) -> None:
        """Gives a ticket out, of a higher number than those before: for `memory`, as bytes, and for so many seconds."""
        with self._lock:
            self._highest = max(self._highest, number)
            self._open[number] = Ticket(memory, time.monotonic() + seconds, secret)
        self._loop.call_soon_threadsafe(self._note)

    def receive(self, number: int) -> str:
        """Takes a ticket back: why nothing has come by it; empty if all of it has."""
        with self._lock:
            return self._open.pop(number).state.value

    def withdraw(self, number: int) -> None:
        """Takes a ticket back; what arrives by it is turned away."""
        with self._lock:
            self._open.pop(number).state = _State.FAILED

    def clear(self) -> None:
        """Begins anew, with the first ticket."""
        with self._lock:
            for ticket in self._open.values():
                ticket.state = _State.FAILED
            self._open.clear()
            self._highest = 0

    async def claim(self, number: int, secret: bytes, size: int) -> Ticket:
        """The ticket, for whoever knows its secret, once; waits for one that isn't out yet. Raises TicketError."""
        deadline = time.monotonic() + _EARLY_SECONDS
        while (ticket := self._open.get(number)) is None:
            left = deadline - time.monotonic()
            if left <= 0 or number <= self._highest:
                raise TicketError("there is no such ticket")
            await asyncio.wait([self._changed], timeout=left)
        with self._lock:
            if not hmac.compare_digest(secret, ticket.secret):
                raise TicketError("there is no such ticket")
            if ticket.state is not _State.OPEN:
                raise TicketError("the ticket was used before")
            if time.monotonic() >= ticket.deadline:
                raise TicketError("the ticket has expired")
            if size != ticket.memory.numel():
                raise TicketError(f"the ticket is for {ticket.memory.numel()} bytes, not {size}")
            ticket.state = _State.ARRIVING
        return ticket

    def end(self, ticket: Ticket, *, arrived: bool) -> None:
        """What was claimed is there, or won't come."""
        with self._lock:
            ticket.state = _State.ARRIVED if arrived else _State.FAILED

    def _note(self) -> None:
        changed, self._changed = self._changed, self._loop.create_future()
        changed.set_result(None)
