"""A Compute from the notebook's side: made, changed, ready, used, suspended and deleted."""

from __future__ import annotations

import asyncio
import base64
import queue
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from jupyter_skytorch import Compute, ConnectError, SessionClosed, SessionLost, SkyError, attach, connect, current
from jupyter_skytorch import computes as registered
from jupyter_skytorch.compute import records

if TYPE_CHECKING:
    from tests.kube.computes import Computes
    from tests.kube.served import Servers


async def test_a_compute_is_made_gets_ready_and_is_deleted(user: str, computes: Computes) -> None:
    async with Compute("one", image="skytorch/server", env={"A": "b"}) as compute:
        assert compute.is_ready()
        assert compute.state == "ready"
        assert compute.resource["spec"]["env"] == [{"name": "A", "value": "b"}]
        assert compute.address == f"grpcs://one.{user}.svc.cluster.local:50051"
    assert compute.resource is None
    assert compute.state == "deleted"
    assert await computes.all() == []
    left = await computes.apps.list_namespaced_stateful_set(user)
    assert left.items == []


async def test_tensors_are_on_its_server(user: str, computes: Computes, servers: Servers) -> None:
    port = servers.port()
    compute = Compute("one", image="skytorch/server", host="127.0.0.1", port=port)
    await compute.ready()
    await servers.start("one", port)
    x = torch.ones(3, device=compute.device())
    assert x.sum().item() == 3
    assert compute.run(torch.sum, x).item() == 3
    assert (compute.state, compute.provider) == ("connected", "kubernetes")
    assert current() is compute
    # Another object for it is the same Compute, and has the same session.
    assert Compute("one", host="127.0.0.1").session() is compute.session()

    await compute.suspend()
    assert compute.state == "suspended"
    with pytest.raises(SessionClosed):
        x.sum()
    await compute.resume()
    await compute.ready()
    y = torch.ones(3, device=compute.device())
    assert y.sum().item() == 3

    # The operator suspends what nobody uses: sessions don't outlive it, and connecting resumes.
    lost = asyncio.Event()
    here = asyncio.get_running_loop()
    compute.provision.tell_end(lambda _why: here.call_soon_threadsafe(lost.set))
    await computes.change("one", suspend=True)
    await asyncio.wait_for(lost.wait(), 30)
    assert (compute.state, compute.reason) == ("lost", "it was suspended")
    with pytest.raises(SessionLost, match="it was suspended"):
        y.sum().item()
    assert await asyncio.to_thread(connect, "one") is compute
    assert torch.ones(3, device=compute.device()).sum().item() == 3
    await compute.delete()
    assert registered() == {}


KERNEL = """
import os, sys, torch
from jupyter_skytorch import Compute
compute = Compute("one", host="127.0.0.1")
compute.save("x", torch.arange(4, device=compute.device()))
compute.session().synchronize()
print(compute.session().id, flush=True)
os._exit(0)
"""


async def test_after_a_kernel_died_its_session_is_found_by_the_secret(
    user: str, computes: Computes, servers: Servers
) -> None:
    port = servers.port()
    compute = Compute("one", image="skytorch/server", host="127.0.0.1", port=port)
    await compute.ready()
    await servers.start("one", port)
    died = subprocess.run([sys.executable, "-c", KERNEL], capture_output=True, text=True, timeout=150, check=False)
    assert died.returncode == 0, died.stderr
    session_id = died.stdout.strip()

    (record,) = records.read_all()
    secret = base64.b64decode((await computes.core.read_namespaced_secret("one", user)).data["token"]).decode()
    assert record.credential.kind == "kubernetes-secret"
    assert record.credential.path.endswith(f"/api/v1/namespaces/{user}/secrets/one")
    (written,) = records.folder("sessions").glob("*.json")
    assert secret not in written.read_text()

    attached = await asyncio.to_thread(attach, session_id)
    assert attached.load("x").tolist() == [0, 1, 2, 3]
    assert attached.provider == "kubernetes"
    await attached.delete()
    assert await computes.all() == []


async def test_what_the_server_measures_is_told(user: str, computes: Computes, servers: Servers) -> None:
    port = servers.port()
    told: queue.Queue[list[Any]] = queue.Queue()
    compute = Compute("one", image="skytorch/server", host="127.0.0.1", port=port, on_metrics=told.put)
    await compute.ready()
    await servers.start("one", port)
    compute.connect()
    assert {metric.name for metric in told.get(timeout=30)}
    compute.close()
    assert compute.state == "ready"


async def test_only_what_is_in_kubernetes_is_suspended_and_deleted(user: str) -> None:
    async with connect() as local:
        assert local.is_ready()
        assert local.resource is None
        for call in (local.suspend, local.resume, local.delete):
            with pytest.raises(SkyError, match="only a Compute in Kubernetes can be"):
                await call()
    assert local.state == "closed"
    with pytest.raises(ConnectError, match="local is closed"):
        await local.ready()


async def test_a_server_that_cannot_be_reached(user: str, computes: Computes) -> None:
    compute = Compute("one", image="skytorch/server")
    await compute.ready()
    # The node runs nothing, and has no kubelet that the API server could ask to forward.
    with pytest.raises(ConnectError, match=r"^one can't be reached: https://.* could not forward a port of the pod"):
        compute.device()
