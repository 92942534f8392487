"""Tensors from session to session: the hook of :meth:`.Executor.serve_copies`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sending import Sender
from .tickets import Tickets

if TYPE_CHECKING:
    from collections.abc import Callable

    from skytorch_server.copy_targets import CopyTargets

__all__ = ["Copies"]


class Copies:
    """What is sent, and what is expected."""

    def __init__(self, targets: CopyTargets, audit: Callable[[str, str], None]) -> None:
        """As for :class:`.Sender`."""
        sender = Sender(targets, audit)
        self.send = sender.send
        self.interrupt = sender.interrupt
        self.tickets = Tickets()
        self.expect = self.tickets.expect
        self.receive = self.tickets.receive
        self.withdraw = self.tickets.withdraw
        self.clear = self.tickets.clear
