"""The sources by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .host import HostSource
from .nvidia_gpu import NvidiaGpuSource
from .torch_sessions import TorchSessionsSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from .source import Census, Source

SOURCES: dict[str, Callable[[Census], Source]] = {
    "nvidia-gpu": NvidiaGpuSource,
    "host": lambda _census: HostSource(),
    "torch": TorchSessionsSource,
}
