"""NVIDIA GPUs, through the driver's management library (NVML)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pynvml

from skytorch_server.daemon_thread import in_daemon_thread

from .source import Sample, SourceMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .source import Census


_CORE = pynvml.NVML_TEMPERATURE_GPU
_PROCESSORS = pynvml.NVML_CLOCK_SM
_MEMORY = pynvml.NVML_CLOCK_MEM


class NvidiaGpuSource:
    """Reads every GPU. What a GPU can't tell (a vGPU's power, say) is left out."""

    def __init__(self, census: Census) -> None:
        """Finds the GPUs.

        Raises:
            SourceMissing: there is no driver, or no GPU.
        """
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise SourceMissing(f"no GPU metrics: the NVIDIA driver's library says {error}") from error
        self._census = census
        self._handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        if not self._handles:
            pynvml.nvmlShutdown()
            raise SourceMissing("no GPU metrics: the NVIDIA driver finds no GPU")

    async def sample(self) -> list[Sample]:
        owners = self._census.owners()
        # Some readings take tens of milliseconds.
        return await in_daemon_thread(
            lambda: [sample for index, handle in enumerate(self._handles) for sample in _read(index, handle, owners)]
        )

    def close(self) -> None:
        pynvml.nvmlShutdown()


# Name, unit, help, and how the value is read from a GPU's handle.
_NUMBERS: list[tuple[str, str, str, Callable[[Any], float]]] = [
    ("utilization", "%", "Share of the time in which a kernel ran", lambda gpu: _rates(gpu).gpu),
    ("memory.utilization", "%", "Share of the time in which memory was in use", lambda gpu: _rates(gpu).memory),
    ("memory.used", "B", "Device memory in use", lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).used),
    ("memory.total", "B", "Device memory", lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).total),
    ("temperature", "°C", "Of the GPU's core", lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu, _CORE)),
    ("power", "W", "Drawn now", lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu) / 1e3),
    ("power.limit", "W", "Drawn at most", lambda gpu: pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1e3),
    ("clock.sm", "Hz", "Of the processors now", lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, _PROCESSORS) * 1e6),
    ("clock.memory", "Hz", "Of the memory now", lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, _MEMORY) * 1e6),
]


def _read(index: int, gpu: Any, owners: dict[int, tuple[str, str]]) -> Iterator[Sample]:
    labels = {
        "gpu": str(index),
        "name": _text(_told(pynvml.nvmlDeviceGetName, gpu)),
        "uuid": _text(_told(pynvml.nvmlDeviceGetUUID, gpu)),
    }
    for name, unit, help_, read in _NUMBERS:
        value = _told(read, gpu)
        if value is not None:
            yield Sample(f"gpu.{name}", value, unit, help_, labels=labels)
    processes = _told(pynvml.nvmlDeviceGetComputeRunningProcesses, gpu)
    if processes is not None:
        yield Sample("gpu.processes", len(processes), "1", "Processes that compute on the GPU", labels=labels)
        for process in processes:
            if process.pid in owners and process.usedGpuMemory is not None:
                session, principal = owners[process.pid]
                yield Sample(
                    "gpu.process.memory.used",
                    process.usedGpuMemory,
                    "B",
                    "Device memory in use by a session's process",
                    labels={"gpu": str(index), "pid": str(process.pid), "session": session},
                    principal=principal,
                )


def _rates(gpu: Any) -> Any:
    return pynvml.nvmlDeviceGetUtilizationRates(gpu)


def _told(read: Callable[[Any], Any], gpu: Any) -> Any:
    """What `read` says of the GPU; None where this GPU can't tell."""
    try:
        return read(gpu)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
