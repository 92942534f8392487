"""Code that says "cuda", on sky: what ``%%sky --as-cuda`` changes while its cell runs, in the thread that runs it.

A torch-function mode sees every device that reaches torch itself: in torch.device(), in device= and .to(), in .cuda().
It costs each torch call a microsecond or two, and only in such a cell. The functions of torch.cuda are plain Python,
which no mode sees, and are replaced.
"""

from __future__ import annotations

import inspect
import os
import re
import threading
from contextlib import contextmanager
from functools import wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from jupyter_skytorch.device import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jupyter_skytorch.compute import Compute

__all__ = ["as_cuda"]

_CUDA = re.compile(r"cuda(?::(\d+))?")
# Only here does a text in front mean a device; an einsum's equation may spell "cuda" too.
_DEVICE_FIRST = {"to", "_parse_to"}
_IS_CUDA = torch.Tensor.is_cuda.__get__  # type: ignore[attr-defined]
# Of torch.sky, under the same names in torch.cuda.
_SHARED = (*memory.__all__, "get_rng_state", "manual_seed", "manual_seed_all", "set_rng_state", "synchronize")

_running: list[_Devices] = []


class _Devices:
    """A Compute's CUDA devices as its sky devices; where it has none, its CPU stands for cuda:0."""

    def __init__(self, compute: Compute) -> None:
        self._session = compute.session()
        self._type = compute.default_device
        self._infos = [device for device in compute.session().devices if device.type == self._type]
        self.current = 0
        # Threads that the cell starts, and other ones that run meanwhile, have torch as it is.
        self.thread: int | None = threading.get_ident()

    def here(self) -> bool:
        """Whether this is the cell's own thread."""
        return threading.get_ident() == self.thread

    def index(self, device: object) -> int:
        """The CUDA index that a device, its name or its number stands for; of None, the current one."""
        if isinstance(device, str):
            device = torch.device(device)
        if isinstance(device, torch.device):
            if device.type == "sky":
                return next((i for i in range(len(self._infos)) if self.at(i) == device), self.current)
            device = device.index
        return self.current if device is None else int(device)  # type: ignore[call-overload]

    def at(self, index: int | None) -> torch.device:
        """The sky device of a CUDA index. Raises SkyError when the server has no such device."""
        return self._session.open_device(self._type, self.current if index is None else index)

    def mapped(self, value: object) -> object:
        """The sky device for what means a CUDA device: a torch.device, a name or a number; else the value itself."""
        if isinstance(value, torch.device):
            return self.at(value.index) if value.type == "cuda" else value
        if isinstance(value, str):
            match = _CUDA.fullmatch(value)
            return self.at(int(match[1]) if match[1] else None) if match else value
        return self.at(value) if type(value) is int else value

    def set(self, device: object) -> None:
        index = self.index(device)
        torch.sky.set_device(self.at(index))  # type: ignore[attr-defined]
        self.current = index

    @contextmanager
    def chosen(self, device: object) -> Iterator[None]:
        """As ``torch.cuda.device``."""
        before = self.current
        self.set(device)
        try:
            yield
        finally:
            self.set(before)

    def properties(self, device: object = None) -> SimpleNamespace:
        """What the server has told of a device."""
        info = self._infos[self.index(device)]
        return SimpleNamespace(name=info.name, total_memory=info.memory_bytes)

    def functions(self) -> Mapping[str, Callable[..., object]]:
        """What stands for the functions of torch.cuda."""
        shared = {name: getattr(torch.sky, name) for name in _SHARED}  # type: ignore[attr-defined]
        for name, function in shared.items():
            if "device" in inspect.signature(function).parameters:
                shared[name] = _converting(function, "device", lambda device: self.at(self.index(device)))
        return shared | {
            "current_device": lambda: self.current,
            "device": self.chosen,
            "device_count": lambda: len(self._infos),
            "get_device_name": lambda device=None: self.properties(device).name,
            "get_device_properties": self.properties,
            "init": lambda: None,
            "is_available": lambda: True,
            "is_bf16_supported": lambda including_emulation=True: including_emulation,
            "is_current_stream_capturing": lambda: False,
            "is_initialized": lambda: True,
            "set_device": self.set,
        }


class _Mode(TorchFunctionMode):
    """Maps the devices in the arguments of every torch function."""

    def __init__(self, devices: _Devices) -> None:
        super().__init__()
        self._devices = devices

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        mapped = self._devices.mapped
        if not self._devices.here():  # a forked child, in which the cell goes on
            return func(*args, **kwargs)
        if func is torch.device:
            return mapped(args[0] if len(args) == 1 and type(args[0]) is int else func(*args, **kwargs))
        if func == torch.Tensor.cuda:
            return _to_cuda(mapped, *args, **kwargs)
        if func == _IS_CUDA:
            return args[0].device.type == "sky"
        if getattr(func, "__name__", "") in _DEVICE_FIRST:
            args = [mapped(arg) for arg in args]
        else:
            args = [mapped(arg) if isinstance(arg, torch.device) else arg for arg in args]
        if "device" in kwargs:
            kwargs = kwargs | {"device": mapped(kwargs["device"])}
        return func(*args, **kwargs)


def _to_cuda(
    mapped: Callable[[object], Any],
    tensor: torch.Tensor,
    device: object = None,
    non_blocking: bool = False,
    memory_format: torch.memory_format = torch.preserve_format,
) -> torch.Tensor:
    return tensor.to(
        mapped("cuda" if device is None else device), non_blocking=non_blocking, memory_format=memory_format
    )


def _converting(
    original: Callable[..., object], parameter: str, convert: Callable[[object], object]
) -> Callable[..., object]:
    """A function of which one argument is converted, its default too."""
    signature = inspect.signature(original)

    def converted(*args: object, **options: object) -> object:
        bound = signature.bind(*args, **options)
        bound.apply_defaults()
        bound.arguments[parameter] = convert(bound.arguments[parameter])
        return original(*bound.args, **bound.kwargs)

    return converted


def _type(given: object) -> object:
    return "sky" if given == "cuda" else given


class _GeneratorType(type):
    """Makes torch's own generators, and finds them to be its instances."""

    devices: _Devices
    original: Any

    def __call__(cls, device: object = "cpu") -> torch.Generator:
        return cls.original(cls.devices.mapped(device) if cls.devices.here() else device)  # type: ignore[no-any-return]

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.original)


def _replacements(devices: _Devices) -> Iterator[tuple[object, str, object]]:
    def either(home: object, name: str, ours: Callable[..., object]) -> tuple[object, str, object]:
        original = getattr(home, name)

        @wraps(original, updated=())
        def replaced(*args: object, **options: object) -> object:
            return (ours if devices.here() else original)(*args, **options)

        return home, name, replaced

    for name, function in devices.functions().items():
        for home in (torch.cuda, torch.cuda.memory, torch.cuda.random):  # who holds it too, under the same name
            if getattr(home, name, None) is getattr(torch.cuda, name):
                yield either(home, name, function)
    yield either(torch.autocast, "__init__", _converting(torch.autocast.__init__, "device_type", _type))
    yield either(torch.amp.GradScaler, "__init__", _converting(torch.amp.GradScaler.__init__, "device", _type))
    yield either(torch, "load", _converting(torch.load, "map_location", devices.mapped))
    yield (
        torch,
        "Generator",
        _GeneratorType("Generator", (), {"devices": devices, "original": torch.Generator}),
    )


@contextmanager
def as_cuda(compute: Compute) -> Iterator[None]:
    """Make the devices of a Compute what this thread finds as CUDA devices."""
    devices = _Devices(compute)
    replaced = [(home, name, getattr(home, name), ours) for home, name, ours in _replacements(devices)]
    _running.append(devices)
    try:
        for home, name, _, ours in replaced:
            setattr(home, name, ours)
        with _Mode(devices):
            yield
    finally:
        for home, name, original, _ in reversed(replaced):
            setattr(home, name, original)
        _running.remove(devices)
        if devices.current:
            compute.device()


def _leave() -> None:
    # A forked child, such as a DataLoader's worker, has no session.
    for devices in _running:
        devices.thread = None


os.register_at_fork(after_in_child=_leave)
