"""The session's memory limit on a CUDA device, where torch's caching allocator keeps it."""

from __future__ import annotations

import torch


def limit(index: int, memory_bytes: int) -> None:
    """Lets this process allocate at most so many bytes on a device; no more than all of it."""
    total = torch.cuda.get_device_properties(index).total_memory
    torch.cuda.set_per_process_memory_fraction(min(memory_bytes / total, 1.0), index)
