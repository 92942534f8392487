"""What every group measures with: a private embedded server, its processes, and this machine."""

from __future__ import annotations

import os
import platform
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import torch

import jupyter_skytorch as sky
from skytorch_wire import __version__

from .embedded import private_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_skytorch.compute import Compute


@dataclass(frozen=True)
class Rig:
    """A connected Compute and the two devices that are compared."""

    compute: Compute
    device: torch.device
    local: torch.device

    def wait(self, device: torch.device) -> None:
        """Returns when everything issued to `device` is done."""
        if device.type == "sky":
            torch.sky.synchronize()
        elif device.type == "cuda":
            torch.cuda.synchronize()

    def server_processes(self) -> list[psutil.Process]:
        """The server's processes: the session's worker, and those above it up to the front."""
        pids = {session.session_id: session.pid for session in self.compute.sessions()}
        worker = psutil.Process(pids[self.compute.session().id])
        chain = [worker]
        for process in worker.parents():
            chain.append(process)
            if "skytorch_server" in process.cmdline():
                return chain
        raise RuntimeError(f"the server's front isn't above its worker {worker.pid}")


@contextmanager
def private_server() -> Iterator[None]:
    """Gives this process and its children an embedded server of their own, which computes with one thread."""
    before = dict(os.environ)
    with private_runtime() as folder:
        os.environ["OMP_NUM_THREADS"] = "1"
        os.environ["JUPYTER_RUNTIME_DIR"] = str(folder)
        os.environ["IPYTHONDIR"] = str(folder / "ipython")
        torch.set_num_threads(1)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def connected(kind: str) -> Iterator[Rig]:
    """A rig whose sky device and local device are both of `kind`, "cpu" or "cuda"."""
    with sky.connect() as compute:
        yield Rig(compute, compute.device(kind), torch.device(kind))


def machine() -> dict[str, object]:
    """What a reader of the figures needs to know of where they were measured."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "jupyter_skytorch": __version__,
        "system": platform.platform(),
        "processors": psutil.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": round(os.getloadavg()[0], 2),
    }
