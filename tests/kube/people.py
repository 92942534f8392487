"""Who may do what: the manifests' roles, and tokens of service accounts that have them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from kubernetes_asyncio import client, config, utils

if TYPE_CHECKING:
    from tests.kube.control_plane import ControlPlane

BASE = Path(__file__).parents[2] / "server/deploy/base"
SYSTEM = "skytorch-system"


async def install(control_plane: ControlPlane) -> str:
    """Makes the operator's account, with the permissions that the manifests give it, and returns its token."""
    async with await config.new_client_from_config(str(control_plane.kubeconfig)) as api:
        for one in manifests("namespace", "rbac"):
            await utils.create_from_dict(api, one)
        return await token(api, SYSTEM, "skytorch-operator")


def manifests(*names: str) -> list[dict[str, Any]]:
    """The objects of files of what an administrator applies."""
    return [one for name in names for one in yaml.safe_load_all((BASE / f"{name}.yaml").read_text())]


async def token(api: client.ApiClient, namespace: str, account: str) -> str:
    """A token of a service account."""
    # Version 1.20 wants an audience in the request; newer ones take their own.
    body = {"spec": {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 7200}}
    answer = await client.CoreV1Api(api).create_namespaced_service_account_token(account, namespace, body)
    return answer.status.token


async def user(api: client.ApiClient, namespace: str, name: str = "anna") -> str:
    """The token of somebody who has the role for people with notebooks in that namespace."""
    await _bind(api, namespace, name, "ClusterRole", "skytorch-user")
    return await token(api, namespace, name)


async def without(api: client.ApiClient, namespace: str, resource: str, name: str = "bert") -> str:
    """A service account with what the role for people with notebooks lets do in that namespace, but for one thing."""
    rbac = client.RbacAuthorizationV1Api(api)
    rules = (await rbac.read_cluster_role("skytorch-user")).rules
    rest = [rule for rule in rules if resource not in rule.resources]
    assert len(rest) == len(rules) - 1
    await rbac.create_namespaced_role(namespace, {"metadata": {"name": name}, "rules": rest})
    await _bind(api, namespace, name, "Role", name)
    return name


async def _bind(api: client.ApiClient, namespace: str, account: str, kind: str, role: str) -> None:
    await client.CoreV1Api(api).create_namespaced_service_account(namespace, {"metadata": {"name": account}})
    binding = {
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }
    await client.RbacAuthorizationV1Api(api).create_namespaced_role_binding(namespace, binding)
