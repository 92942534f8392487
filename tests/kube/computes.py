"""Computes of one namespace, as a test sees them through the API."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from kubernetes_asyncio import client

SECONDS = 60.0
MERGE = "application/merge-patch+json"

Object = dict[str, Any]


class Computes:
    """Makes, changes and reads them; everything is JSON."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.core = client.CoreV1Api(api)
        self.apps = client.AppsV1Api(api)
        self._custom = client.CustomObjectsApi(api)
        self._place = "compute.skytorch.dev", "v1alpha1", namespace, "computes"

    async def allow_no_pods(self, quota: str, namespace: str) -> None:
        """Makes a quota, and waits until the API server goes by it."""
        body = {"metadata": {"name": quota}, "spec": {"hard": {"pods": "0"}}}
        await self.core.create_namespaced_resource_quota(namespace, body)
        pod = {"metadata": {"name": "tried"}, "spec": {"containers": [{"name": "one", "image": "one"}]}}
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                await self.core.create_namespaced_pod(namespace, pod, dry_run="All")
            except client.ApiException as refused:
                if "exceeded quota" in (refused.body or ""):
                    return
            assert time.monotonic() < deadline, f"the quota {quota} is never gone by"
            await asyncio.sleep(0.05)

    async def create(self, name: str, **spec: Any) -> Object:
        body = {
            "apiVersion": "compute.skytorch.dev/v1alpha1",
            "kind": "Compute",
            "metadata": {"name": name},
            "spec": {"image": "skytorch/server", **spec},
        }
        return await self._custom.create_namespaced_custom_object(*self._place, body)

    async def change(self, name: str, **spec: Any) -> Object:
        return await self._custom.patch_namespaced_custom_object(
            *self._place, name, {"spec": spec}, _content_type=MERGE
        )

    async def get(self, name: str) -> Object:
        return await self._custom.get_namespaced_custom_object(*self._place, name)

    async def delete(self, name: str) -> None:
        await self._custom.delete_namespaced_custom_object(*self._place, name)

    async def pod(self, name: str) -> Object | None:
        found = await self.core.list_namespaced_pod(
            self.namespace, label_selector=f"compute.skytorch.dev/name={name}", _preload_content=False
        )
        return next(iter(json.loads(await found.read())["items"]), None)

    async def kubelet_says(self, name: str, **status: Any) -> None:
        """Writes a pod's status as its kubelet would; the pod must be one that the node of these tests lets wait."""
        await self.core.patch_namespaced_pod_status(
            f"{name}-0", self.namespace, {"status": status}, _content_type=MERGE, _preload_content=False
        )

    async def events(self, name: str) -> list[tuple[str, str]]:
        """Type and reason of what was said of a Compute."""
        selector = f"involvedObject.kind=Compute,involvedObject.name={name}"
        found = await self.core.list_namespaced_event(self.namespace, field_selector=selector)
        return [(event.type, event.reason) for event in found.items]

    async def list(self, **query: Any) -> Any:
        """The list, or what `query` asks for, as a watch."""
        return await self._custom.list_namespaced_custom_object(*self._place, **query)

    async def all(self) -> list[Object]:
        return (await self.list())["items"]

    async def condition(self, name: str, kind: str, status: str = "True", reason: str = "") -> Object:
        """Waits until a condition, of what the Compute is now, has this status, and this reason if one is given."""
        deadline = time.monotonic() + SECONDS
        while True:
            compute = await self.get(name)
            conditions = {one["type"]: one for one in compute.get("status", {}).get("conditions", ())}
            one = conditions.get(kind)
            if (
                one is not None
                and one["status"] == status
                and reason in {"", one["reason"]}
                and one["observedGeneration"] == compute["metadata"]["generation"]
            ):
                return one
            assert time.monotonic() < deadline, f"{name} never got {kind}={status} {reason}: {conditions}"
            await asyncio.sleep(0.05)

    async def ready(self, name: str) -> Object:
        await self.condition(name, "Ready")
        return await self.get(name)
