"""A Compute is made, changed, suspended, resumed and deleted, and so is what belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.kube.computes import Computes


async def test_a_compute_gets_a_stateful_set_a_service_and_a_secret_and_is_ready(computes: Computes) -> None:
    made = await computes.create("gpu")
    compute = await computes.ready("gpu")

    host = f"gpu.{computes.namespace}.svc.cluster.local"
    assert compute["status"]["addresses"] == [{"host": host, "port": 50051}]
    stateful_set = await computes.apps.read_namespaced_stateful_set("gpu", computes.namespace)
    service = await computes.core.read_namespaced_service("gpu", computes.namespace)
    secret = await computes.core.read_namespaced_secret("gpu", computes.namespace)
    for owned in (stateful_set, service, secret):
        (owner,) = owned.metadata.owner_references
        assert (owner.uid, owner.controller) == (made["metadata"]["uid"], True)
    assert set(secret.data) == {"token", "ca.crt", "tls.crt", "tls.key"}
    assert service.spec.cluster_ip == "None"
