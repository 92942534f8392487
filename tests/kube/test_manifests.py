"""What a namespace with notebooks gets, as an API server takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from kubernetes_asyncio import client, utils

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient

DEPLOY = Path(__file__).parents[2] / "server/deploy"


async def test_a_namespaces_manifests_are_taken_as_they_are(api: ApiClient, namespace: str) -> None:
    files = [path for folder in ("namespace", "overlays") for path in sorted((DEPLOY / folder).rglob("*.yaml"))]
    objects = [one for file in files for one in yaml.safe_load_all(file.read_text()) if one["kind"] != "Kustomization"]
    for one in objects:
        await utils.create_from_dict(api, one, namespace=namespace)
    network = client.NetworkingV1Api(api)
    policies = {one.metadata.name: one.spec for one in (await network.list_namespaced_network_policy(namespace)).items}
    assert set(policies) == {"skytorch-ingress", "skytorch-egress", "skytorch-internet"}
    for policy in policies.values():
        (selected,) = policy.pod_selector.match_expressions
        assert (selected.key, selected.operator) == ("compute.skytorch.dev/name", "Exists")
    # The port is the operator's name for it, whatever its number is.
    assert {port.port for rule in policies["skytorch-ingress"].ingress for port in rule.ports} == {"grpc"}
