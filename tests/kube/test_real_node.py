"""Pods that run: this repository's own server on a real node, made by the operator, used from a notebook."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient

from jupyter_skytorch.compute import Compute
from tests.kube import people
from tests.kube.control_plane import kit
from tests.kube.node import IMAGE, RealNode, unfit
from tests.kube.operators import OperatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kube.computes import Computes

pytestmark = pytest.mark.timeout(600)

TRAINING = """
import torch
from jupyter_skytorch.compute import Compute
compute = Compute("gpu")
torch.manual_seed(0)
with torch.device(compute.device()):
    x = torch.randn(256, 8)
    y = x.sum(1, keepdim=True)
    net = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
optimizer = torch.optim.Adam(net.parameters(), 0.01)
losses = []
for _ in range(200):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(net(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(losses[0], losses[-1])
"""
#: A kernel with a session, which says so and then does nothing more.
KERNEL = """
import sys, time
from jupyter_skytorch.compute import Compute
compute = Compute("gpu")
compute.device()
print("connected", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A control plane of this module's own, with a real node."""
    tools = kit()
    missing = unfit() if tools else "no Kubernetes control plane in KUBEBUILDER_ASSETS or ../shared/kube"
    if tools is None or missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"left out: {missing}")
        pytest.skip(f"left out: {missing}")
    started = RealNode(tools, tmp_path_factory.mktemp("control-plane"))
    try:
        started.start_node()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def operator(control_plane: RealNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """The operator at work there, with the permissions of the manifests."""
    folder = tmp_path_factory.mktemp("operator")
    token = asyncio.run(people.install(control_plane))
    kubeconfig = control_plane.kubeconfig_for(folder / "kubeconfig", token)
    started = OperatorProcess(
        folder / "log", KUBECONFIG=str(kubeconfig), POD_NAMESPACE=people.SYSTEM, POD_NAME="operator-1"
    )
    started.start()
    try:
        started.wait_for_log("operator-1 leads")
        yield started
    finally:
        assert started.stop() == 0, started.log


@pytest.fixture
async def compute(user: str, computes: Computes) -> Compute:
    """A Compute of this tree's own server, ready."""
    made = Compute("gpu", image=IMAGE)
    await made.ready()
    return made


def look() -> dict[str, Any]:
    """What a function finds on the server."""
    found: dict[str, Any] = {"user": (os.getuid(), os.getgid())}
    for folder in ("/", "/opt/skytorch", str(Path.home()), "/var/run/skytorch", "/tmp"):  # noqa: S108
        try:
            (Path(folder) / "written").write_text("")
        except OSError as error:
            found[folder] = error.errno
        else:
            found[folder] = 0
    status = Path("/proc/self/status").read_text()
    found["capabilities"] = {line.split()[1] for line in status.splitlines() if line.startswith("Cap")}
    found["account"] = Path("/var/run/secrets/kubernetes.io").exists()
    return found


async def test_a_pod_of_our_own_image_serves_as_nobody_and_writes_only_to_tmp(compute: Compute) -> None:
    assert compute.state == "ready"
    found = compute.run(look)
    assert found.pop("user") == (1000, 1000)
    assert found.pop("capabilities") == {"0" * 16}
    assert not found.pop("account")
    assert found.pop("/tmp") == 0  # noqa: S108
    assert set(found.values()) == {errno.EROFS}


async def test_a_notebook_trains_on_it_through_a_port_forward(compute: Compute) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(TRAINING)])
    trained = NotebookClient(notebook, timeout=300, kernel_name="python3", extra_arguments=["--log-level=ERROR"])
    await trained.async_execute()
    (output,) = [output for output in notebook.cells[0].outputs if output.output_type == "stream"]
    first, last = map(float, output.text.split())
    assert last < first / 20


def talk_and_answer() -> str:
    """Takes a while, on the server."""
    sys.stdout.write("begun\n")
    time.sleep(3)
    return "done"


async def test_a_pod_that_is_deleted_finishes_what_was_issued_and_ends_by_itself(
    compute: Compute, computes: Computes, control_plane: RealNode, until: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    at_work = asyncio.create_task(asyncio.to_thread(compute.run, talk_and_answer))
    seen = ""

    async def begun() -> bool:
        nonlocal seen
        seen += capsys.readouterr().out
        return "begun" in seen

    await until(begun, "the function runs")
    core, namespace = computes.core, computes.namespace
    before = await core.read_namespaced_pod("gpu-0", namespace)
    (container,) = before.status.container_statuses
    await core.delete_namespaced_pod("gpu-0", namespace)
    assert await at_work == "done"

    async def replaced() -> bool:
        pods = (await core.list_namespaced_pod(namespace)).items
        return bool(pods) and pods[0].metadata.uid != before.metadata.uid

    await until(replaced, "the pod is gone and another one is made")
    # The pod's own status goes with it.
    assert not control_plane.was_killed(container.container_id.rpartition("/")[2])
    assert compute.reason == "the server was stopped"


async def test_a_compute_whose_kernel_died_is_suspended_after_its_idle_time(
    compute: Compute, computes: Computes, operator: OperatorProcess
) -> None:
    compute.close()
    kernel = subprocess.Popen([sys.executable, "-c", KERNEL], stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    with kernel.stdout as said:
        assert said.readline() == "connected\n"
        kernel.send_signal(signal.SIGKILL)
    kernel.wait(60)
    await computes.change("gpu", idleTimeoutSeconds=2)
    # An operator asks each minute, and when it begins.
    assert operator.stop() == 0
    operator.start()
    await computes.condition("gpu", "Suspended")
    assert re.search(r"/gpu: suspended, nobody used it for \d+ s, its limit is 2 s", operator.log)
