"""Makes sky the default device of torch's factory functions while a cell runs.

The functions are wrapped where the torch module holds them. A torch-function mode, as torch.set_default_device uses
one, would cost every torch call of the cell 1 to 2 µs, also those that make no tensor.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Hashable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._device import _device_constructors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["sky_by_default"]

Factory = Any

_HOMES: tuple[ModuleType, ...] = (torch, torch.fft, torch.nested)
# What these make for themselves they use on the CPU: a sampler's indices, an optimizer's step counters, a compiler's
# examples.
_KEEP_THEIR_OWN = ("torch.utils.data", "torch.optim", "torch._", "torch.fx")
# These take data, which may be tensors already; a tensor stays where it is.
_TAKE_DATA = {
    "tensor",
    "as_tensor",
    "asarray",
    "nested_tensor",
    "sparse_coo_tensor",
    "sparse_compressed_tensor",
    "sparse_csr_tensor",
    "sparse_csc_tensor",
    "sparse_bsr_tensor",
    "sparse_bsc_tensor",
}
_DEVICE_POSITION = {"as_tensor": 2}

_wrapped: list[list[tuple[ModuleType, str, Factory]]] = []
"""What to put back, for each cell that runs: a cell may run another one."""


@contextmanager
def sky_by_default(device: torch.device) -> Iterator[None]:
    """Make tensors on `device` wherever a factory function is given no device."""
    originals = [(home, name, getattr(home, name)) for home, name in _places()]
    _wrapped.append(originals)
    for home, name, factory in originals:
        setattr(home, name, _on(device, factory))
    try:
        yield
    finally:
        _restore()


@functools.cache
def _places() -> tuple[tuple[ModuleType, str], ...]:
    # torch keeps the list for its own default device; asked for the first time while nothing is wrapped.
    constructors = _device_constructors()
    return tuple(
        (home, name)
        for home in _HOMES
        for name, value in vars(home).items()
        if isinstance(value, Hashable) and value in constructors
    )


def _restore() -> None:
    for home, name, factory in _wrapped.pop():
        setattr(home, name, factory)


# One for each device and factory: what torch.compile has made of a cell is as good in the next one.
@functools.cache
def _on(device: torch.device, factory: Factory) -> Factory:
    takes_data = factory.__name__ in _TAKE_DATA
    position = _DEVICE_POSITION.get(factory.__name__, sys.maxsize)

    @functools.wraps(factory)
    def on_sky(*args: object, **options: object) -> object:
        __tracebackhide__ = True
        if (
            options.get("device") is None
            and len(args) <= position
            and not (options and _bound_to_cpu(options))
            and not (takes_data and _holds_tensors((*args, *options.values())))
            # A frame's globals cost 0.1 µs, and the list of callers that want the CPU is short. What is compiled is the
            # user's, and has no frame.
            and (
                torch.compiler.is_compiling()
                or not sys._getframe(1).f_globals.get("__name__", "").startswith(_KEEP_THEIR_OWN)  # noqa: SLF001
            )
        ):
            options["device"] = device
        return factory(*args, **options)

    return on_sky


def _bound_to_cpu(options: dict[str, Any]) -> bool:
    """Whether an argument says where the tensor must be."""
    generator = options.get("generator")
    return (
        (generator is not None and generator.device.type == "cpu")
        or options.get("out") is not None
        or bool(options.get("pin_memory"))
    )


def _holds_tensors(values: tuple[object, ...]) -> bool:
    return any(
        isinstance(value, torch.Tensor)
        or (isinstance(value, list | tuple) and any(isinstance(item, torch.Tensor) for item in value))
        for value in values
    )


def _restore_all() -> None:
    # A forked child, such as a DataLoader's worker, has no session to make sky tensors in.
    while _wrapped:
        _restore()


os.register_at_fork(after_in_child=_restore_all)
