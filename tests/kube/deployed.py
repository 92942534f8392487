"""The operator as an administrator deploys it: what ``server/deploy/base`` says, in a pod of a real node."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubernetes_asyncio import client, config, utils

from tests.kube.image import OPERATOR
from tests.kube.people import SYSTEM, manifests

if TYPE_CHECKING:
    from kubernetes_asyncio.client import V1Pod

    from tests.kube.node import RealNode

SECONDS = 60.0


def in_cluster(control_plane: RealNode, pod: dict[str, Any]) -> dict[str, Any]:
    """
    A pod's spec, with what it takes to reach the API server of these tests.

    That listens on this machine's loopback alone, and nothing here passes a Service's address on.
    """
    host, _, port = urlsplit(control_plane.url).netloc.partition(":")
    variables = [{"name": "KUBERNETES_SERVICE_HOST", "value": host}, {"name": "KUBERNETES_SERVICE_PORT", "value": port}]
    (container,) = pod["containers"]
    container = {**container, "env": [*container["env"], *variables], "imagePullPolicy": "Never"}
    return {**pod, "containers": [container], "hostNetwork": True}


class DeployedOperator:
    """One replica, at work."""

    def __init__(self, control_plane: RealNode) -> None:
        self._control_plane = control_plane

    async def start(self) -> None:
        """Applies the manifests, and waits until it leads."""
        async with await self._api() as api:
            for one in manifests("namespace", "rbac", "operator"):
                if one["kind"] == "Deployment":
                    template = one["spec"]["template"]
                    template["spec"]["containers"][0]["image"] = OPERATOR.name
                    template["spec"] = in_cluster(self._control_plane, template["spec"])
                await utils.create_from_dict(api, one)
            await self._leads(api, "")

    async def restart(self) -> None:
        """Deletes its pod, whose end must be its own, and waits until the next one leads."""
        async with await self._api() as api:
            pod = await self._pod(api)
            assert pod is not None
            (container,) = pod.status.container_statuses
            await client.CoreV1Api(api).delete_namespaced_pod(pod.metadata.name, SYSTEM)
            await self._leads(api, pod.metadata.uid)
        assert not self._control_plane.was_killed(container.container_id.rpartition("/")[2])

    async def log(self) -> str:
        """What its pod logged."""
        async with await self._api() as api:
            return await self._log(api, await self._pod(api))

    async def _leads(self, api: client.ApiClient, not_this: str) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            pod = await self._pod(api)
            log = "" if pod is None or pod.metadata.uid == not_this else await self._log(api, pod)
            if " leads\n" in log:
                return
            assert time.monotonic() < deadline, f"the operator doesn't lead: {pod}\n{log}"
            await asyncio.sleep(0.1)

    async def _pod(self, api: client.ApiClient) -> V1Pod | None:
        pods = await client.CoreV1Api(api).list_namespaced_pod(SYSTEM)
        alive = (pod for pod in pods.items if pod.metadata.deletion_timestamp is None)
        return next(alive, None)

    async def _log(self, api: client.ApiClient, pod: V1Pod | None) -> str:
        if pod is None:
            return ""
        try:
            return await client.CoreV1Api(api).read_namespaced_pod_log(pod.metadata.name, SYSTEM)
        except client.ApiException:  # its container isn't there yet
            return ""

    async def _api(self) -> client.ApiClient:
        return await config.new_client_from_config(str(self._control_plane.kubeconfig))
