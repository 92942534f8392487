"""Finding the device, and what its memory holds, by torch's own names."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20


def test_the_accelerator_is_sky_while_a_session_lives() -> None:
    code = """
import torch, jupyter_skytorch
import jupyter_skytorch.device
def told():
    found = torch.accelerator
    print(found.is_available(), found.current_accelerator(check_available=True), found.device_count(),
          torch.sky.is_available(), torch.sky.memory_allocated())
told()
with jupyter_skytorch.connect() as compute:
    device = compute.device()
    told()
    with jupyter_skytorch.connect("local", name="other") as other:
        print(torch.accelerator.current_device_index(), other.device().index, torch.accelerator.current_device_index())
        torch.accelerator.set_device_index(device)
        torch.accelerator.synchronize()
        made = torch.ones(2, device=torch.accelerator.current_accelerator())
        print(torch.accelerator.current_device_index(), made.device)
told()
try:
    torch.sky.mem_get_info(device)
except jupyter_skytorch.SessionClosed as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == [
        "False None 0 False 0",
        "True sky 1 True 0",
        "0 1 1",
        "0 sky:0",
        "False None 0 False 0",
        "the session on local was closed",
    ], done.stderr


def test_memory_counts_what_lives_at_that_place_in_the_program(sky: torch.device) -> None:
    before = torch.sky.memory_allocated(sky)
    torch.sky.reset_peak_memory_stats(sky)
    x = torch.zeros(MIB, device=sky)
    view = x[10:]
    y = x * 2
    assert torch.sky.memory_allocated(sky) == before + 8 * MIB
    del x, y
    assert torch.sky.memory_allocated(sky) == before + 4 * MIB  # the view's storage
    del view
    assert torch.sky.memory_allocated() == before
    assert torch.sky.max_memory_allocated() == before + 8 * MIB
    torch.sky.reset_peak_memory_stats()
    assert torch.sky.max_memory_allocated() == before


def test_torch_sky_and_torch_accelerator_say_the_same(sky: torch.device) -> None:
    kept = torch.zeros(1000, device=sky)
    torch.sky.reset_accumulated_memory_stats()
    torch.sky.empty_cache()
    names: dict[str, Callable[..., object]] = {
        "memory_allocated": torch.accelerator.memory_allocated,
        "memory_reserved": torch.accelerator.memory_reserved,
        "max_memory_allocated": torch.accelerator.max_memory_allocated,
        "max_memory_reserved": torch.accelerator.max_memory_reserved,
        "memory_stats": torch.accelerator.memory_stats,
    }
    for name, accelerators in names.items():
        said = getattr(torch.sky, name)(device=sky)
        assert said == accelerators(sky) == getattr(torch.sky, name)(sky.index) == getattr(torch.sky, name)(str(sky))
    stats = torch.sky.memory_stats()
    assert stats["allocated_bytes.all.current"] >= kept.nbytes
    assert stats["allocation.all.freed"] == 0
    free, total = torch.sky.mem_get_info()
    assert 0 < free <= total == torch.accelerator.get_memory_info()[1]


def test_the_summary_is_a_table(sky: torch.device) -> None:
    kept = torch.zeros(3 * MIB, device=sky)
    head, *rows = torch.sky.memory_summary(sky, abbreviated=True).splitlines()
    assert head.startswith(f"sky:{sky.index} memory summary")
    assert "Allocated memory" in rows[2]
    assert "MiB" in rows[2]
    assert len({len(row) for row in rows}) == 1
    assert len(torch.sky.memory_summary().splitlines()) > len(rows) + 1
    del kept
