"""Tensors into a session's inbox, out of its outbox, and through a function: functions of the server's own module."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from . import functions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .compute import Compute

__all__ = ["receive", "send", "stream"]


class _ServersOwn:
    """A function of ``skytorch_server.tensors``, which this end names and doesn't import."""

    def __init__(self, name: str) -> None:
        self.__qualname__ = name

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (_ServersModule(), self.__qualname__)

    def __call__(self, *_arguments: Any) -> Any:
        raise NotImplementedError(f"{self.__qualname__} runs on a server")


class _ServersModule:
    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, ("skytorch_server.tensors",)


_send, _receive, _stream = map(_ServersOwn, ("send", "receive", "stream"))


def send(compute: Compute, tensors: Sequence[torch.Tensor]) -> str:
    """What ``Compute.send_tensors`` does."""
    __tracebackhide__ = True
    return str(functions.run(compute, _send, _there(compute, tensors), {}))


def receive(compute: Compute, count: int, parameters: Mapping[str, str] | None) -> list[torch.Tensor]:
    """What ``Compute.receive_tensors`` does."""
    __tracebackhide__ = True
    if count < 1:
        raise ValueError(f"at least one tensor is received, not {count}")
    result: list[torch.Tensor] = functions.run(compute, _receive, [count, _shape(parameters)], {})
    return result


def stream(
    compute: Compute, tensors: Sequence[torch.Tensor], function: Callable[[torch.Tensor], torch.Tensor] | None
) -> list[torch.Tensor]:
    """What ``Compute.stream_tensors`` does."""
    __tracebackhide__ = True
    result: list[torch.Tensor] = functions.run(compute, _stream, [function, *_there(compute, tensors)], {})
    return result


def _there(compute: Compute, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Copies on the Compute: what is done to the tensors afterwards is nothing to those that wait there."""
    for tensor in tensors:
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"tensors are sent, and not {type(tensor).__name__}")
    device = compute.session().open_device(compute.default_device, 0)
    return [tensor.detach().to(device, copy=True) for tensor in tensors]


def _shape(parameters: Mapping[str, str] | None) -> str | None:
    if not parameters:
        return None
    shape = parameters.get("shape")
    sizes = shape.split(",") if isinstance(shape, str) and len(parameters) == 1 else []
    if not sizes or not all(size.strip().isascii() and size.strip().isdigit() for size in sizes):
        raise ValueError(f"parameters are a shape, as {{'shape': '20,20'}}, and not {dict(parameters)}")
    return shape
