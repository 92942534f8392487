"""``%sky`` with Computes in Kubernetes, from a notebook's side."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.magics.conftest import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kube.computes import Computes
    from tests.kube.control_plane import ControlPlane
    from tests.kube.served import Servers
    from tests.magics.conftest import Result

SECONDS = 60.0
WAITS = {"fake-kubelet/phase": "Pending"}
#: A kernel with a session on a Compute, which ends in no order.
DYING = """
import os
from jupyter_skytorch import connect
connect("gpu", provider="kubernetes", host="127.0.0.1", idle_timeout=16).device()
os._exit(9)
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel with the extension."""
    runtime = tmp_path_factory.mktemp("runtime")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
        patch.setenv("KUBECONFIG", str(runtime / "none"))
        kernel = Kernel()
    try:
        kernel.ok("import os, torch\n%load_ext jupyter_skytorch\n%config SkyMagics.progress_delay = 0")
        yield kernel
    finally:
        kernel.end()


@pytest.fixture
def kernel(started: Kernel, control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Kernel]:
    """The kernel, of somebody whose kubeconfig names the test's namespace, and who has used no cluster yet."""
    kubeconfig = control_plane.kubeconfig_of("admin", tmp_path / "kubeconfig", namespace)
    started.ok(f"os.environ['KUBECONFIG'] = {str(kubeconfig)!r}")
    yield started
    started.ok(
        "import jupyter_skytorch\n"
        "from jupyter_skytorch.compute.kubernetes import process\n"
        "from jupyter_skytorch.magics import provisioned\n"
        "for compute in jupyter_skytorch.computes().values(): compute.close()\n"
        "compute = None\n"
        "provisioned._known.clear()\n"
        "process.forget()\n"
        "%config SkyMagics.provider = ''\n"
        "%config SkyMagics.image = ''\n"
    )


def updates(result: Result) -> str:
    """All that was shown while the cell ran."""
    return "\n".join(str(shown["text/plain"]) for shown in (*result.displays, *result.updates))


def one_line(result: Result) -> str:
    assert result.error.startswith("UsageError"), result
    assert result.traceback == ""
    (line,) = result.printed.strip().splitlines()
    return str(line)


async def served(computes: Computes, servers: Servers, name: str = "gpu", **spec: Any) -> None:
    """A Compute that is ready, with a real server on this machine."""
    port = servers.port()
    await computes.create(name, port=port, **spec)
    await computes.ready(name)
    await servers.start(name, port)


async def test_flags_say_what_it_is_and_what_they_do_not_say_stays(kernel: Kernel, computes: Computes) -> None:
    line = (
        "%sky connect big --provider kubernetes --image skytorch/server --cpu 2 --memory 8GiB --gpu 1 "
        "--env A=b --env C=d=e --volume data=1Gi:/data --suspend-after 600 --host 127.0.0.1 --timeout 2"
    )
    said = one_line(await asyncio.to_thread(kernel.run, line))
    assert "%sky connect big waits on, %sky delete big deletes it" in said
    spec = (await computes.get("big"))["spec"]
    amounts = {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert spec["resources"] == {"requests": amounts, "limits": amounts}
    assert spec["env"] == [{"name": "A", "value": "b"}, {"name": "C", "value": "d=e"}]
    assert (spec["image"], spec["idleTimeoutSeconds"]) == ("skytorch/server", 600)
    (volume,) = spec["volumeClaimTemplates"]
    assert (volume["metadata"]["name"], volume["mountPath"]) == ("data", "/data")

    one_line(await asyncio.to_thread(kernel.run, "%sky connect big --cpu 4 --env A=x --host 127.0.0.1 --timeout 2"))
    changed = (await computes.get("big"))["spec"]
    amounts |= {"cpu": "4"}
    assert changed == spec | {
        "resources": {"requests": amounts, "limits": amounts},
        "env": [{"name": "A", "value": "x"}, {"name": "C", "value": "d=e"}],
    }


async def test_a_cell_runs_on_it_and_it_is_suspended_resumed_and_deleted(
    kernel: Kernel, computes: Computes, servers: Servers
) -> None:
    await served(computes, servers, resources={"limits": {"cpu": "1"}})
    line = "compute = %sky connect gpu --provider kubernetes --host 127.0.0.1"
    await asyncio.to_thread(kernel.ok, line)
    assert kernel.ok("compute").value.startswith("gpu: connected · grpcs://127.0.0.1:")
    assert "sky gpu cpu" in kernel.ok("%%sky\nx = torch.ones(3)").ledger
    assert kernel.ok("x.sum().item()").value == "3.0"
    shown = kernel.ok("%sky status").value
    assert "gpu (kubernetes)" in shown
    assert f"namespace     {computes.namespace}" in shown
    assert "skytorch/server" in shown
    assert "1 CPU" in shown

    (row,) = [line for line in kernel.ok("%sky list").value.splitlines() if " gpu " in line]
    assert row.startswith("▸")
    for word in ("connected", computes.namespace, "1 CPU", "ago"):
        assert word in row

    assert "gpu is suspended" in updates(await asyncio.to_thread(kernel.ok, "%sky suspend"))
    await computes.condition("gpu", "Suspended")
    assert "gpu is suspended" in kernel.usage_error("%%sky gpu\n1")
    assert kernel.ok("compute").value.startswith("gpu: suspended")
    assert "suspended" in kernel.ok("%sky list").value
    resumed = asyncio.to_thread(kernel.ok, "compute = %sky resume gpu")
    await asyncio.gather(resumed, computes.ready("gpu"))
    assert kernel.ok("%%sky\ntorch.ones(4).sum().item()").value == "4.0"

    assert "nobody can be asked here: %sky delete gpu --yes" in kernel.usage_error("%sky delete gpu")
    asked = await asyncio.to_thread(kernel.run, "%sky delete gpu", answer="no")
    assert asked.asked == f"Delete the Compute gpu in the namespace {computes.namespace}? [y/N] "
    assert "gpu stays" in updates(asked)
    assert "gpu is deleted" in updates(await asyncio.to_thread(kernel.run, "%sky delete gpu", answer="y"))
    assert await computes.all() == []
    assert "there is no Compute 'gpu'" in kernel.usage_error("%sky resume gpu")


async def test_one_that_others_suspend_says_so_in_a_cell(
    kernel: Kernel, computes: Computes, servers: Servers, until: Any
) -> None:
    await served(computes, servers)
    await asyncio.to_thread(kernel.ok, "compute = %sky connect gpu --provider kubernetes --host 127.0.0.1")
    await computes.change("gpu", suspend=True)

    async def known() -> bool:
        return "suspended" in kernel.ok("compute.reason").value

    await until(known, "the kernel knows")
    assert kernel.usage_error("%%sky\n1").endswith(
        "gpu is suspended, and what its tensors held is gone: %sky resume gpu begins anew"
    )
    assert "suspended" in kernel.ok("%sky list").value


async def test_events_and_phases_are_shown_and_then_why_it_is_not_ready(
    kernel: Kernel, computes: Computes, until: Any
) -> None:
    await computes.create("gpu", annotations=WAITS)

    async def on_its_node() -> bool:
        pod = await computes.pod("gpu")
        return pod is not None and bool(pod["status"].get("containerStatuses"))

    await until(on_its_node, "the pod is on its node")
    waits = threading.Event()

    def shown(text: str) -> None:
        if "waiting for gpu: the pod is there, the server isn't ready yet (" in text:
            waits.set()

    line = "%sky connect gpu --provider kubernetes --timeout 5"
    cell = asyncio.create_task(asyncio.to_thread(kernel.run, line, shown=shown))
    assert await asyncio.to_thread(waits.wait, SECONDS)
    why = {"reason": "ErrImagePull", "message": "manifest unknown"}
    container = {"name": "server", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    await computes.kubelet_says("gpu", containerStatuses=[{**container, "state": {"waiting": why}}])
    result = await cell
    assert "\nCompute gpu: the image x can't be pulled: manifest unknown" in updates(result)
    said = one_line(result)
    assert "gpu: it isn't ready after 5 s: the image x can't be pulled: manifest unknown; %sky connect gpu" in said


async def test_an_interrupt_leaves_it_and_says_what_to_do(kernel: Kernel, computes: Computes) -> None:
    await computes.create("gpu", annotations=WAITS)
    interrupts: list[None] = []

    def shown(text: str) -> None:
        if "waiting for gpu: " in text and not interrupts:
            interrupts.append(kernel.interrupt())

    result = await asyncio.to_thread(kernel.run, "%sky connect gpu --provider kubernetes", shown=shown)
    assert result.error.startswith("KeyboardInterrupt")
    assert "interrupted: gpu stays in Kubernetes" in updates(result)
    assert "%sky delete gpu deletes it" in updates(result)
    # It is known from here on, and need not be said to be in Kubernetes.
    assert "gpu: it isn't ready after 1 s" in one_line(
        await asyncio.to_thread(kernel.run, "%sky connect gpu --timeout 1")
    )
    await asyncio.to_thread(kernel.ok, "%sky delete gpu --yes")


async def test_the_list_has_what_is_in_the_cluster_over_namespaces(
    kernel: Kernel, computes: Computes, servers: Servers, user: str
) -> None:
    await served(computes, servers)
    await computes.create("idle", suspend=True)
    await computes.condition("idle", "Suspended")
    value = (await asyncio.to_thread(kernel.ok, "%sky list")).value
    rows = {line.split()[0]: line for line in value.splitlines()[1:]}
    assert set(rows) == {"gpu", "idle"}
    assert " ready " in rows["gpu"]
    assert " suspended " in rows["idle"]
    everywhere = (await asyncio.to_thread(kernel.ok, "%sky list --all-namespaces")).value
    assert f" {computes.namespace} " in everywhere
    assert "gpu" not in (await asyncio.to_thread(kernel.ok, "%sky list --namespace default")).value
    assert kernel.ok(
        "listed = %sky list\n[(each.name, each.compute, each.summary.namespace) for each in listed]"
    ).value == (f"[('gpu', None, {computes.namespace!r}), ('idle', None, {computes.namespace!r})]")


async def test_the_list_has_what_a_kernel_left_that_died(
    kernel: Kernel, computes: Computes, servers: Servers, user: str, until: Any
) -> None:
    await served(computes, servers)
    await asyncio.to_thread(kernel.ok, "%sky connect gpu --provider kubernetes --host 127.0.0.1")
    # It is given up for gone after three quarters of its lease, and ends with it.
    died = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", DYING], check=False, timeout=SECONDS)
    assert died.returncode == 9

    async def listed() -> bool:
        return " 2 (1 orphan) " in (await asyncio.to_thread(kernel.ok, "%sky list")).value

    await until(listed, "the session of the kernel that died is an orphan")


async def test_tab_completes_names_of_the_cluster(kernel: Kernel, computes: Computes) -> None:
    await computes.create("from-elsewhere")
    for line in ("%sky connect from", "%sky suspend from", "%sky resume from", "%sky delete from"):
        assert kernel.complete(line) == ["from-elsewhere"]
    assert kernel.complete("%sky connect x --provider kub") == ["kubernetes"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%sky connect gpu --provider kubernetes", "there is no Compute 'gpu': give --image to make it"),
        ("%sky connect --provider kubernetes", "needs a name: %sky connect NAME --provider kubernetes"),
        ("%sky connect gpu --provider kubernets", "did you mean 'kubernetes'?"),
        ("%sky connect Gpu --provider kubernetes --image x", "small letters, digits and '-'"),
        ("%sky connect gpu --provider kubernetes --image x --env A", "--env is NAME=VALUE, not 'A'"),
        ("%sky connect gpu --provider kubernetes --image x --volume a=b:c", "as '20Gi:/data', not 'b:c'"),
        ("%sky connect gpu --provider kubernetes --image x --gpu=-1", "a number of GPUs, not -1"),
        ("%sky connect gpu --provider kubernetes --image x --cpu many", "amounts are numbers"),
        (
            "%sky connect gpu --provider kubernetes --token-file x",
            "--token-file does not go with a Compute in Kubernetes",
        ),
        ("%sky connect local --image x", "is for Computes in Kubernetes: say provider='kubernetes'"),
        ("%sky suspend gpu", "there is no Compute 'gpu' in Kubernetes"),
        ("%sky delete gpu --yes", "there is no Compute 'gpu' in Kubernetes"),
        ("%sky delete gpu --namespace a/b --yes", "'a/b' can't be a namespace"),
        ("%sky list --namespace a/b", "'a/b' can't be a namespace"),
        ("%sky delete", "required: NAME"),
        ("%sky suspend", "nothing is connected"),
    ],
)
def test_a_mistake_gets_one_line(kernel: Kernel, namespace: str, line: str, says: str) -> None:
    assert says in kernel.usage_error(line)


def test_trouble_with_the_cluster_gets_one_line(
    kernel: Kernel, control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    connect = "%sky connect gpu --provider kubernetes --image x"
    anew = "from jupyter_skytorch.compute.kubernetes import process\nprocess.forget()\n"
    path = tmp_path / "kubeconfig"
    good = path.read_text()

    def trouble(write: Callable[[], object], says: str) -> None:
        path.write_text(good)
        write()
        kernel.ok(anew)
        assert says in kernel.usage_error(connect)
        assert says in kernel.usage_error("%sky list --all-namespaces")
        shown = kernel.ok("%sky list")
        assert "Nothing is connected" in shown.value
        kernel.ok(anew)

    server = control_plane.url
    trouble(
        lambda: path.write_text(good.replace(server, "https://127.0.0.1:1")),
        "there is no cluster at https://127.0.0.1:1",
    )
    trouble(lambda: path.write_text(good.replace("current-context: test", "current-context: x")), "has no context 'x'")
    trouble(lambda: control_plane.kubeconfig_for(path, "expired", namespace=namespace), "log in again")
    trouble(lambda: control_plane.kubeconfig_of("system:node:node1", path, namespace), "you may not")
