"""Tensors that functions take in and put out, one by one, while they run on a server (``compute.run``).

A session has an inbox, which ``compute.send_tensors`` fills, and an outbox, which ``compute.receive_tensors`` empties::

    def double():
        from skytorch_server import tensors

        while (tensor := tensors.take()) is not None:
            tensors.put(tensor * 2)

They are on the session's device, and nothing of them travels.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["put", "take"]

_inbox: deque[torch.Tensor] = deque()
_outbox: deque[torch.Tensor] = deque()


def take() -> torch.Tensor | None:
    """The tensor that has waited longest in the inbox; None when it is empty."""
    return _inbox.popleft() if _inbox else None


def put(*tensors: torch.Tensor) -> None:
    """Puts tensors out, for the client to receive in this order. Raises TypeError for what is none."""
    for tensor in tensors:
        _check(tensor, "what is put out")
    _outbox.extend(tensors)


def send(*tensors: torch.Tensor) -> str:
    """What ``Compute.send_tensors`` calls."""
    _inbox.extend(tensors)
    return f"{_count(len(tensors))} received; {_count(len(_inbox))} in the inbox"


def receive(count: int, shape: str | None) -> list[torch.Tensor]:
    """What ``Compute.receive_tensors`` calls. Takes nothing where there are too few."""
    if not _outbox and shape is not None:
        sizes = [int(size) for size in shape.split(",") if size.strip()]
        return [torch.rand(sizes) for _ in range(count)]
    if len(_outbox) < count:
        raise LookupError(
            f"{_count(count)} asked for, and functions on the server have put out {len(_outbox) or 'none'}"
        )
    return [_outbox.popleft() for _ in range(count)]


def stream(function: Callable[[torch.Tensor], torch.Tensor] | None, *tensors: torch.Tensor) -> list[torch.Tensor]:
    """What ``Compute.stream_tensors`` calls."""
    results = list(tensors) if function is None else [function(tensor) for tensor in tensors]
    for result in results:
        _check(result, "what the function returned")
    return results


def clear() -> None:
    """Lets go of all that waits: another kernel has the session."""
    _inbox.clear()
    _outbox.clear()


def _check(thing: object, what: str) -> None:
    if not isinstance(thing, torch.Tensor):
        raise TypeError(f"{what} is {type(thing).__name__}, and only tensors go from here")


def _count(number: int) -> str:
    return "1 tensor" if number == 1 else f"{number} tensors"
