"""The devices that torch finds on this machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from .spec import FoundDevice


def found() -> list[FoundDevice]:
    """The CPU, then every CUDA device in torch's order. Initialises CUDA where there is one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    devices = [FoundDevice("cpu", 0, _processor_name(), memory)]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            devices.append(FoundDevice("cuda", index, properties.name, properties.total_memory))
    return devices


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
