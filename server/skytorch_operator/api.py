"""Calls of the Kubernetes API, with objects as the JSON that they are."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from kubernetes_asyncio.client import ApiException

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes_asyncio.client import ApiClient

GROUP = "compute.skytorch.dev"
VERSION = "v1alpha1"
#: Where each kind of object that the operator touches lives.
ROOTS = {
    "computes": f"/apis/{GROUP}/{VERSION}",
    "events": "/api/v1",
    "persistentvolumeclaims": "/api/v1",
    "pods": "/api/v1",
    "secrets": "/api/v1",
    "services": "/api/v1",
    "statefulsets": "/apis/apps/v1",
}
#: Who wrote a field, as Kubernetes records it.
MANAGER = "skytorch-operator"
SECONDS = 15.0

Object = dict[str, Any]


class Api:
    """A client of one cluster. Each call raises ApiException, aiohttp.ClientError or TimeoutError when it fails."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def get(self, plural: str, namespace: str, name: str) -> Object | None:
        """The object, or None where there is none."""
        try:
            return await self._call("GET", f"{_path(plural, namespace)}/{name}")
        except ApiException as failure:
            if failure.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def list(self, plural: str, namespace: str, **query: str | int) -> list[Object]:
        """The objects that `query` (labelSelector, fieldSelector, limit) asks for."""
        return cast("list[Object]", (await self._call("GET", _path(plural, namespace), query=query))["items"])

    async def create(self, plural: str, namespace: str, body: Object) -> Object:
        """Makes an object; ApiException with status 409 where there is one of that name."""
        return await self._call("POST", _path(plural, namespace), body, query={"fieldManager": MANAGER})

    async def merge(self, plural: str, namespace: str, name: str, body: Object) -> Object:
        """Sets the fields in `body`; the last part of `name` may be a subresource."""
        return await self._patch("application/merge-patch+json", plural, namespace, name, body)

    async def replace(self, plural: str, found: Object, fields: Mapping[str, Any]) -> Object:
        """Sets what lies at some paths (`/spec/template`), in this very object and no other that has its name now."""
        metadata = found["metadata"]
        body: list[Object] = [{"op": "test", "path": "/metadata/uid", "value": metadata["uid"]}]
        # "add" replaces what is there, and minds not that nothing is.
        body += [{"op": "add", "path": path, "value": value} for path, value in fields.items()]
        return await self._patch("application/json-patch+json", plural, metadata["namespace"], metadata["name"], body)

    async def serves_computes(self) -> bool:
        """Whether the cluster knows what a Compute is."""
        try:
            found = await self._call("GET", ROOTS["computes"])
        except ApiException as failure:
            if failure.status in {HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE}:
                return False
            raise
        return any(resource["name"] == "computes" for resource in found["resources"])

    async def _patch(self, content_type: str, plural: str, namespace: str, name: str, body: Any) -> Object:
        path = f"{_path(plural, namespace)}/{name}"
        return await self._call("PATCH", path, body, query={"fieldManager": MANAGER}, content_type=content_type)

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str | int] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        return cast(
            "Object",
            await self._client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                response_types_map=dict.fromkeys((200, 201, 202), "object"),
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=SECONDS,
            ),
        )


def _path(plural: str, namespace: str) -> str:
    return f"{ROOTS[plural]}/namespaces/{namespace}/{plural}"
