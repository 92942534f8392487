"""Tensors from one Compute to another: their servers do it between them, and this end says what is to go where.

The receiving session has memory ready for a ticket; the sending one brings the tensor there, at its place in its own
log; then the receiving one takes it out, at its place in the other log. Where the servers can't reach each other, the
tensor goes through this process, as any that is read and written.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from jupyter_skytorch import device
from skytorch_wire.format import DTYPE_NUMBERS, Sent
from skytorch_wire.pickling import address
from skytorch_wire.records import View, Writer, contiguous_strides

if TYPE_CHECKING:
    import torch

    from .session import Session

__all__ = ["know", "take_detours"]

_TICKET_SECONDS = 120
_SECRET_BYTES = 32
# How long two servers that could not reach each other are taken to be so.
_OBSTACLE_SECONDS = 30.0
_LONG_BYTES = 16 * 1024 * 1024

_lock = threading.Lock()
_sessions: dict[int, Session] = {}
_obstacles: dict[tuple[str, str], tuple[float, str]] = {}
_detours: dict[tuple[str, str], str] = {}


def know(opened: torch.device, session: Session) -> None:
    """Says whose a sky device is."""
    _sessions[opened.index] = session


def take_detours() -> list[str]:
    """Which tensors have come through this machine since the last call, by their Computes, and why."""
    with _lock:
        taken = [f"{source} → {target} through this machine: {why}" for (source, target), why in _detours.items()]
        _detours.clear()
    return taken


def _carry(tensor: torch.Tensor, index: int) -> torch.Tensor | None:
    """A contiguous sky tensor's like on another session's sky device; None: it has to come through here."""
    source, target = _sessions.get(tensor.device.index), _sessions.get(index)
    if source is None or target is None:
        return None
    pair = source.id, target.id
    why = _obstacle(source, target)
    if not why:
        waiting = source.waiting(f"copying from {source.name} to {target.name}")
        with waiting if tensor.nbytes >= _LONG_BYTES else nullcontext():
            sent, why, landed = _bring(tensor, index, source, target)
        if sent is Sent.NO_WAY:
            with _lock:
                _obstacles[pair] = time.monotonic() + _OBSTACLE_SECONDS, why
        if landed is not None:
            return landed
    with _lock:
        _detours[source.name, target.name] = why
    return None


def _obstacle(source: Session, target: Session) -> str:
    """Why it need not be tried; empty if it need."""
    for session in (source, target):
        if not session.copies:
            return f"the server of {session.name} takes part in no copies"
    with _lock:
        until, why = _obstacles.get((source.id, target.id), (0.0, ""))
    return why if time.monotonic() < until else ""


def _bring(tensor: torch.Tensor, index: int, source: Session, target: Session) -> tuple[Sent, str, torch.Tensor | None]:
    """Has the servers do it: what became of it, why, and the tensor if it is there."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    strides = contiguous_strides(tensor.shape)
    number = device.core.storage_number(tensor.device.index, address(tensor.untyped_storage()))
    view = View(number, dtype, tensor.shape, strides, int(tensor.storage_offset()))
    ticket, secret = next(target.tickets), secrets.token_bytes(_SECRET_BYTES)
    slot = device.core.device_slot(index)
    expected = Writer().expect(ticket, slot, tensor.nbytes, _TICKET_SECONDS, secret)
    target.append(expected.take(), urgent=True)
    request = None
    try:
        reply = source.ask(Writer().send(ticket, secret, target.destination, view).take())
        sent = Sent(reply[0])
        if sent is not Sent.ARRIVED:
            return sent, reply[1:].decode(errors="replace"), None
        request = device.core.Request(index)
        parcel = request.start(Writer().receive(ticket).take())
    except BaseException:
        request = None
        raise
    finally:
        if request is None:
            target.append(Writer().withdraw(ticket).take())
    home = (0, tensor.nbytes, DTYPE_NUMBERS[dtype], list(tensor.shape), strides, 0)
    (landed,) = device.core.adopt(index, parcel, [home])
    return sent, "", landed


device.core.set_carrier(_carry)
