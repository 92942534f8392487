"""A Compute from the notebook's side: made, changed, ready, used, suspended and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from jupyter_skytorch import SessionClosed
from jupyter_skytorch.compute import Compute

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
    assert compute.state == "connected"
    # Another object for it is the same Compute, and has the same session.
    again = Compute("one", host="127.0.0.1")
    assert again.session() is compute.session()
    await compute.suspend()
    assert compute.state == "suspended"
    with pytest.raises(SessionClosed):
        x.sum()
    await compute.resume()
    await compute.ready()
    assert torch.ones(3, device=compute.device()).sum().item() == 3
    await compute.delete()
