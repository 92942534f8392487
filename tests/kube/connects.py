"""
What a Compute costs from outside its cluster: ``python -m tests.kube.connects``.

On a real node, with the operator and a server of this tree in pods. Each round is a process of its own: how long it
takes to connect to a Compute that is Ready, for the first time and again, and what the port-forward then carries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from kubernetes_asyncio import config

from tests.kube.computes import Computes
from tests.kube.control_plane import NO_CONTROL_PLANE, kit
from tests.kube.deployed import DeployedOperator
from tests.kube.image import SERVER
from tests.kube.node import RealNode, unfit

BYTES = 64 << 20
ROUND = f"""
import json, statistics, time
import torch, jupyter_skytorch
from IPython.core.interactiveshell import InteractiveShell

def seconds(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "jupyter_skytorch")

def connect():
    shell.run_line_magic("sky", "connect gpu --provider kubernetes")

figures = {{"%sky connect, the first of a kernel, s": seconds(connect)}}
shell.run_line_magic("sky", "disconnect")
figures["%sky connect again, s"] = seconds(connect)
(compute,) = [each for each in jupyter_skytorch.computes().values() if each.state == "connected"]
one, large = torch.ones((), device=compute.device()), torch.rand({BYTES} // 4)
one.item()
figures[".item(), ms"] = statistics.median(seconds(one.item) for _ in range(200)) * 1e3

def up():
    global there
    there = large.to(compute.device())
    torch.sky.synchronize()

figures["64 MiB up, MiB/s"] = {BYTES >> 20} / seconds(up)
figures["64 MiB down, MiB/s"] = {BYTES >> 20} / seconds(lambda: there.cpu())
compute.close()
print(json.dumps(figures))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    tools = kit()
    if why := NO_CONTROL_PLANE if tools is None else unfit():
        parser.exit(1, f"{why}\n")
    assert tools is not None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connects-")))
        control_plane = RealNode(tools, folder / "control-plane")
        stack.callback(control_plane.stop)
        control_plane.start_node()
        asyncio.run(_compute(control_plane))
        environment = {
            **os.environ,
            "KUBECONFIG": str(control_plane.kubeconfig),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        }
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
        rounds = [_round(environment) for _ in range(chosen.rounds)]
    for name in rounds[0]:
        values = sorted(each[name] for each in rounds)
        print(f"{name}: median {statistics.median(values):.3g}, from {values[0]:.3g} to {values[-1]:.3g}")


async def _compute(control_plane: RealNode) -> None:
    await DeployedOperator(control_plane).start()
    async with await config.new_client_from_config(str(control_plane.kubeconfig)) as api:
        computes = Computes(api, "default")
        await computes.create("gpu", image=SERVER.name)
        await computes.ready("gpu")


def _round(environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", ROUND], env=environment, stdout=subprocess.PIPE, check=True, timeout=300
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
