"""torch's settings hold on the server too: what is set here travels as a record, at its place in the program.

The few setters of torch that change results or speed are wrapped, which costs an op nothing. To compare the settings at
each op would take some thirty calls into torch, which keeps each of them behind a function.

Calls travel, not states: what old and new names have set for the same precision can't be read back in every mixture of
them, but the same calls in the same order lead to the same state.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch import _C
from torch.backends import ContextProp

from skytorch_wire.records import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .backend import Sink

__all__ = ["SETTINGS", "Setting", "changed", "follow", "watch"]

Values = tuple[bool | int | str, ...]


def _given(*values: Any) -> Values:
    return values


@dataclass(frozen=True)
class Setting:
    """A setting, or several that share a setter.

    Its name on the wire is in the server's table too (``settings.cpp``).
    """

    name: str
    setter: str
    """In torch._C."""
    initial: tuple[Values, ...] = ()
    """What a fresh torch has set. Nothing, for another way to set what other settings tell."""
    read: Callable[..., Any] | None = None
    """What is set now; takes what says which of several settings is meant."""
    which: int = 0
    """How many of the values say which of several settings is meant."""
    values: Callable[..., Values] = _given
    """From the setter's arguments to the values that travel."""

    def now(self) -> Iterator[Values]:
        """What is set, where torch can say it, as values that travel."""
        for initial in self.initial:
            which = initial[: self.which]
            try:
                found = self.read(*which) if self.read else None
            except RuntimeError:
                continue  # names old and new are mixed; the other name can be read
            if found is not None:
                yield (*which, *(found if isinstance(found, tuple) else (found,)))


def _plain(name: str, *, initial: Values, read: str = "") -> Setting:
    return Setting(name, f"_set_{name}", (initial,), getattr(_C, f"_get_{read or name}"))


def _default_dtype() -> str:
    return str(torch.get_default_dtype()).removeprefix("torch.")


SETTINGS = (
    _plain("float32_matmul_precision", initial=("highest",)),
    Setting("cublas_allow_tf32", "_set_cublas_allow_tf32"),  # told by the matmul precision
    _plain("cudnn_allow_tf32", initial=(True,)),
    _plain("onednn_allow_tf32", initial=(False,)),
    Setting(
        "fp32_precision",
        "_set_fp32_precision_setter",
        (
            ("generic", "all", "none"),
            ("cuda", "all", "none"),
            ("cuda", "matmul", "none"),
            ("cuda", "conv", "tf32"),
            ("cuda", "rnn", "tf32"),
            ("mkldnn", "all", "none"),
            ("mkldnn", "matmul", "none"),
            ("mkldnn", "conv", "none"),
            ("mkldnn", "rnn", "none"),
        ),
        _C._get_fp32_precision_getter,
        which=2,
    ),
    _plain("cublas_allow_fp16_reduced_precision_reduction", initial=(True, True)),
    _plain("cublas_allow_bf16_reduced_precision_reduction", initial=(True, True)),
    _plain("cublas_allow_fp16_accumulation", initial=(False,)),
    _plain("math_sdp_allow_fp16_bf16_reduction", initial=(False,)),
    Setting(
        "deterministic_algorithms",
        "_set_deterministic_algorithms",
        ((False, False),),
        lambda: (_C._get_deterministic_algorithms(), _C._get_deterministic_algorithms_warn_only()),
        values=lambda mode, *, warn_only=False: (mode, warn_only),
    ),
    _plain("deterministic_fill_uninitialized_memory", initial=(True,)),
    _plain("cudnn_enabled", initial=(True,)),
    _plain("cudnn_benchmark", initial=(False,)),
    _plain("cudnn_deterministic", initial=(False,)),
    _plain("mkldnn_enabled", initial=(True,)),
    _plain("mkldnn_deterministic", initial=(False,)),
    _plain("sdp_use_flash", initial=(True,), read="flash_sdp_enabled"),
    _plain("sdp_use_mem_efficient", initial=(True,), read="mem_efficient_sdp_enabled"),
    _plain("sdp_use_math", initial=(True,), read="math_sdp_enabled"),
    _plain("sdp_use_cudnn", initial=(True,), read="cudnn_sdp_enabled"),
    # The client makes most results' dtypes known, but an op computes in the default one (int / int).
    Setting(
        "default_dtype",
        "_set_default_dtype",
        (("float32",),),
        _default_dtype,
        values=lambda _dtype: (_default_dtype(),),
    ),
    Setting("default_dtype", "_set_default_tensor_type", values=lambda _type: (_default_dtype(),)),
)


class _Log:
    """What was set in this process, as far as it holds still, in order; and the sinks that are told."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.calls: dict[Values, tuple[str, Values]] = {}
        self.sinks: list[Sink] = []

    def add(self, setting: Setting, values: Values) -> None:
        key = (setting.name, *values[: setting.which])
        self.calls.pop(key, None)
        self.calls[key] = setting.name, values
        self.sinks = [sink for sink in self.sinks if not sink.stopped()]
        for sink in self.sinks:
            sink.append(Writer().setting(setting.name, values).take())

    def forget_sinks(self) -> None:
        """In a forked child the sessions are the parent's, and so may be the lock."""
        self.lock = threading.RLock()
        self.sinks = []


_log = _Log()


def changed() -> list[tuple[str, Values]]:
    """What was set, as far as it holds still: the calls that lead there from a fresh torch."""
    return list(_log.calls.values())


def follow(sink: Sink, *, fresh: bool = True) -> None:
    """Has a session's sink take the settings as they are, and each change from now on.

    Not `fresh`: another kernel may have set something there.
    """
    initial = [] if fresh else [(setting.name, values) for setting in SETTINGS for values in setting.initial]
    with _log.lock:
        for name, values in [*initial, *changed()]:
            sink.append(Writer().setting(name, values).take())
        _log.sinks.append(sink)


def watch() -> None:
    """Wraps the setters. What was set before is read."""
    for setting in SETTINGS:
        for values in setting.now():
            if values not in setting.initial:
                _log.add(setting, values)
    for setting in SETTINGS:
        _wrap(setting)
    os.register_at_fork(after_in_child=_log.forget_sinks)


def _wrap(setting: Setting) -> None:
    original = getattr(_C, setting.setter)

    @wraps(original)
    def set_here_and_there(*args: Any, **options: Any) -> Any:
        with _log.lock:
            result = original(*args, **options)
            _log.add(setting, setting.values(*args, **options))
        return result

    setattr(_C, setting.setter, set_here_and_there)
    for name, module in list(sys.modules.items()):
        if name.startswith("torch.backends."):
            for value in vars(type(module)).values():
                # torch.backends.cudnn and its like hold some of the setters themselves.
                if isinstance(value, ContextProp) and value.setter is original:
                    value.setter = set_here_and_there
