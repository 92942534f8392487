"""Pods that run: this repository's own operator and servers on a real node, used from notebooks."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import subprocess
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
import torch
from kubernetes_asyncio.client import ApiException
from nbclient import NotebookClient

from jupyter_skytorch.compute import Compute, connect
from jupyter_skytorch.session import take_detours
from tests.compute.conftest import moved
from tests.faults.proxy import proxy
from tests.kube import people
from tests.kube.computes import Computes
from tests.kube.control_plane import NO_CONTROL_PLANE, kit
from tests.kube.deployed import DeployedOperator, in_cluster
from tests.kube.image import SERVER
from tests.kube.node import RealNode, unfit
from tests.kube.notebooks import notebook
from tests.left_out import left_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubernetes_asyncio.client import ApiClient

pytestmark = pytest.mark.timeout(600)

#: The cells of a notebook that begins with nothing.
CELLS = (
    "import torch\n%load_ext jupyter_skytorch",
    f"%sky connect gpu --provider kubernetes --image {SERVER.name}",
    """%%sky
torch.manual_seed(0)
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
print(losses[0], losses[-1])""",
    "%sky delete gpu --yes",
)
#: A kernel with a session, which says so and then does nothing more.
KERNEL = """
import sys, time
from jupyter_skytorch.compute import Compute
compute = Compute("gpu")
compute.device()
print("connected", flush=True)
time.sleep(600)
"""
#: A notebook in a pod of the cluster.
NOTEBOOK = """
import torch
from jupyter_skytorch.compute import Compute
compute = Compute("gpu")
print((torch.ones(3, device=compute.device()) + 1).sum().item(), compute)
"""


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A control plane of this module's own, with a real node."""
    tools = kit()
    if tools is None:
        left_out(NO_CONTROL_PLANE)
    if why := unfit():
        left_out(why)
    started = RealNode(tools, tmp_path_factory.mktemp("control-plane"))
    try:
        started.start_node()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def operator(control_plane: RealNode) -> Iterator[DeployedOperator]:
    """The operator at work in a pod of that node, as the manifests say."""
    deployed = DeployedOperator(control_plane)
    asyncio.run(deployed.start())
    yield deployed
    log = asyncio.run(deployed.log())
    assert "something went wrong" not in log, log


@pytest.fixture
def computes(api: ApiClient, namespace: str, operator: DeployedOperator) -> Computes:
    """The Computes of this test's namespace, and what the deployed operator makes of them."""
    return Computes(api, namespace)


@pytest.fixture
async def compute(user: str, computes: Computes) -> Compute:
    """A Compute of this tree's own server, ready."""
    return await ready("gpu")


async def ready(name: str) -> Compute:
    made = Compute(name, image=SERVER.name)
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


async def test_a_notebook_makes_one_and_trains_on_it_and_deletes_it(user: str, computes: Computes) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    trained = NotebookClient(notebook, timeout=300, kernel_name="python3", extra_arguments=["--log-level=ERROR"])
    await trained.async_execute()
    (printed,) = [output for output in notebook.cells[2].outputs if output.output_type == "stream"]
    first, last = map(float, printed.text.split())
    assert last < first / 20
    assert await computes.all() == []


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
    compute: Compute, computes: Computes, operator: DeployedOperator
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
    await operator.restart()
    await computes.condition("gpu", "Suspended")
    assert re.search(r"/gpu: suspended, nobody used it for \d+ s, its limit is 2 s", await operator.log())


async def test_one_that_is_changed_is_connected_to_anew(compute: Compute) -> None:
    compute.session()
    changed = await asyncio.to_thread(connect, "gpu", provider="kubernetes", image=SERVER.name, env={"A": "changed"})
    assert changed.run(lambda: os.environ["A"]) == "changed"
    assert (compute.state, compute.reason) == ("lost", "the server was stopped")


async def test_tensors_go_from_pod_to_pod(compute: Compute, computes: Computes, control_plane: RealNode) -> None:
    other = await ready("other")
    source, target = [await computes.pod(name) for name in ("gpu", "other")]
    assert source is not None
    assert target is not None
    name = f"other.{computes.namespace}.svc.cluster.local"
    control_plane.tell(source["metadata"]["uid"], name, target["status"]["podIP"])
    x = torch.randn(1 << 20, device=compute.device())
    compute.session().synchronize()
    other.session().synchronize()
    before = moved(compute, other)
    y = x.to(other.device())
    other.session().synchronize()
    assert moved(compute, other) - before < 8000
    assert take_detours() == []
    assert torch.equal(y.cpu(), x.cpu())


async def test_a_port_forward_that_was_cut_is_made_again(
    computes: Computes, control_plane: RealNode, user: str, tmp_path: Path
) -> None:
    with proxy(control_plane.url.removeprefix("https://")) as between:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(kubeconfig.read_text().replace(control_plane.url, f"https://127.0.0.1:{between.port}"))
        compute = await ready("gpu")
        x, expected = torch.zeros(1000, device=compute.device()), torch.zeros(1000)
        for kind in ("reset", "end", "reset"):
            for step in range(50):
                x += step
                expected += step
            between.cut(kind)
            assert torch.equal(x.cpu(), expected)


async def test_a_notebook_in_the_cluster_reaches_it_by_its_name(
    compute: Compute, computes: Computes, control_plane: RealNode, until: Any
) -> None:
    core, namespace = computes.core, computes.namespace
    server = await computes.pod("gpu")
    assert server is not None
    name = f"gpu.{namespace}.svc.cluster.local"
    pod = notebook(NOTEBOOK, await people.without(computes.api, namespace, "pods/portforward"))
    pod["hostAliases"] = [{"ip": server["status"]["podIP"], "hostnames": [name]}]
    body = {"metadata": {"name": "notebook"}, "spec": in_cluster(control_plane, pod)}

    async def admitted() -> bool:
        try:
            await core.create_namespaced_pod(namespace, body)
        except ApiException as error:  # "No API token found for service account"
            return error.status != HTTPStatus.INTERNAL_SERVER_ERROR
        return True

    await until(admitted, "the service account has a token")

    async def phase() -> str:
        found = (await core.read_namespaced_pod("notebook", namespace)).status.phase
        return found if found in {"Succeeded", "Failed"} else ""

    ended = await until(phase, "the notebook's pod ends")
    log = await core.read_namespaced_pod_log("notebook", namespace)
    assert ended == "Succeeded", log
    assert re.fullmatch(rf"6.0 <Compute 'gpu' at grpcs://{re.escape(name)}:50051 .*>\n", log)
