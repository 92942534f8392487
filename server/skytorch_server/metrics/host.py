"""The machine's processors and memory."""

from __future__ import annotations

import psutil

from .source import COUNTER, Sample


class HostSource:
    """Everything that psutil says without asking any process."""

    def __init__(self) -> None:
        # The first reading has nothing to compare with.
        psutil.cpu_percent()

    async def sample(self) -> list[Sample]:
        memory = psutil.virtual_memory()
        samples = [
            Sample(
                "host.cpu.utilization", psutil.cpu_percent(), "%", "Share of all processors in use since last asked"
            ),
            Sample("host.cpu.count", psutil.cpu_count() or 0, "1", "Logical processors"),
            Sample("host.cpu.load", psutil.getloadavg()[0], "1", "Processes that run or wait to, over one minute"),
            Sample("host.memory.used", memory.total - memory.available, "B", "Memory that can't be given to others"),
            Sample("host.memory.total", memory.total, "B", "Memory of the machine"),
        ]
        network = psutil.net_io_counters()
        if network is not None:
            samples += [
                Sample("host.network.received", network.bytes_recv, "B", "Received by all interfaces", COUNTER),
                Sample("host.network.sent", network.bytes_sent, "B", "Sent by all interfaces", COUNTER),
            ]
        return samples

    def close(self) -> None:
        """Nothing is held."""
