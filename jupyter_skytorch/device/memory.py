"""Memory of a sky device, by the names and with the meaning that torch.cuda gives them.

The numbers are the server's, at this place in the program: each question costs a round trip. Of a CUDA device they are
those of the caching allocator of the session's process. The CPU has no such allocator, so they count the session's
storages. A tensor takes memory there from its first use on, not from torch.empty().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.accelerator import memory as accelerator

if TYPE_CHECKING:
    Device = torch.device | str | int | None

__all__ = [
    "empty_cache",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_accumulated_memory_stats",
    "reset_peak_memory_stats",
]

_ROWS = (
    ("Allocated memory", "allocated_bytes"),
    ("Active memory", "active_bytes"),
    ("Requested memory", "requested_bytes"),
    ("Reserved memory", "reserved_bytes"),
    ("Non-releasable memory", "inactive_split_bytes"),
    ("Allocations", "allocation"),
    ("Active allocations", "active"),
    ("Reserved segments", "segment"),
    ("Non-releasable allocations", "inactive_split"),
)
_POOLS = (("large_pool", "from large pool"), ("small_pool", "from small pool"))
_COLUMNS = ("current", "peak", "allocated", "freed")
_KIBI = 1024


def empty_cache() -> None:
    """Gives back memory that the caching allocators of all sessions hold and don't use."""
    accelerator.empty_cache()


def memory_allocated(device: Device = None) -> int:
    """The bytes that tensors take now."""
    return accelerator.memory_allocated(device)


def max_memory_allocated(device: Device = None) -> int:
    """The most that they took since the session began, or since :func:`reset_peak_memory_stats`."""
    return accelerator.max_memory_allocated(device)


def memory_reserved(device: Device = None) -> int:
    """The bytes that the caching allocator holds now, in use or not."""
    return accelerator.memory_reserved(device)


def max_memory_reserved(device: Device = None) -> int:
    """The most that it held."""
    return accelerator.max_memory_reserved(device)


def memory_stats(device: Device = None) -> dict[str, Any]:
    """All numbers, by the names of :func:`torch.cuda.memory_stats`; none while no session lives."""
    return accelerator.memory_stats(device)


def reset_peak_memory_stats(device: Device = None) -> None:
    """Begins the maxima anew from what is taken now."""
    accelerator.reset_peak_memory_stats(device)


def reset_accumulated_memory_stats(device: Device = None) -> None:
    """Begins the counts of what was taken and given back anew."""
    accelerator.reset_accumulated_memory_stats(device)


def mem_get_info(device: Device = None) -> tuple[int, int]:
    """The bytes that are free on a device, whoever uses the others, and those that it has."""
    return accelerator.get_memory_info(device)


def memory_summary(device: Device = None, abbreviated: bool = False) -> str:
    """The statistics of a device's memory as a table; abbreviated: without its pools."""
    stats = memory_stats(device)
    lines: list[tuple[str, ...]] = [("", "current usage", "peak usage", "total allocated", "total freed")]
    for label, name in _ROWS:
        for pool, shown in (("all", label), *(() if abbreviated else ((pool, f"  {text}") for pool, text in _POOLS))):
            numbers = [stats.get(f"{name}.{pool}.{column}", 0) for column in _COLUMNS]
            lines.append((shown, *(_size(number) if name.endswith("bytes") else str(number) for number in numbers)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS) + 1)]
    text = [" | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    text.insert(1, "-" * len(text[0]))
    head = f"{_name(device)} memory summary; out of memory: {stats.get('num_ooms', 0)}, retried allocations: "
    return "\n".join([head + str(stats.get("num_alloc_retries", 0)), *text])


def _name(device: Device) -> str:
    index: Any = device if isinstance(device, int) else None if device is None else torch.device(device).index
    return f"sky:{torch.accelerator.current_device_index() if index is None else index}"


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < _KIBI:
            return f"{number:.4g} {unit}"
        number /= _KIBI
    return f"{number:.4g} TiB"
