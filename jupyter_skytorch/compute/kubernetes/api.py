"""Calls to a cluster's API server. They belong to the control thread's loop."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast
from urllib.parse import urlencode

import aiohttp
from kubernetes_asyncio.client import ApiClient

from . import access as accesses
from .errors import ApiError, GoneError, KubernetesError, explain, explain_network

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping

    from kubernetes_asyncio.client import Configuration, CoreV1Event

    from .access import Access

__all__ = ["FIELD_MANAGER", "Api", "computes_path"]

FIELD_MANAGER = "skytorch-python-client"

_CALL_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
_WATCH_SECONDS = 240
_SILENCE_SECONDS = _WATCH_SECONDS + 30
_UNAUTHORIZED, _GONE = 401, 410
_OK = range(200, 300)


class _Answer(NamedTuple):
    """What the client deserializes."""

    data: str


def computes_path(namespace: str, name: str = "") -> str:
    """The path of a namespace's Computes, or of one; without a namespace, of all namespaces'."""
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/compute.skytorch.dev/v1alpha1{within}/computes" + (f"/{name}" if name else "")


class Api:
    """One cluster, as one user. Calls raise ApiError or another KubernetesError, one line."""

    def __init__(self, access: Access, given: Configuration | None) -> None:
        """`given`: the configuration that is not read anew when it is refused."""
        self.access = access
        self._given = given
        self._client = ApiClient(access.configuration)
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End what was spawned, and close its connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run what uses it, until it is closed at the latest."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        """The object that a call answers with. `doing` says what it is for, as "delete the Compute 'x'"."""
        limits = aiohttp.ClientTimeout(total=_CALL_SECONDS, sock_connect=_CONNECT_SECONDS)
        async with self._request(method, path, doing, query or {}, body, content, limits) as response:
            answer: dict[str, Any] = json.loads(await response.read())
            return answer

    async def watch(
        self, path: str, doing: str, query: Mapping[str, str]
    ) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """What happens there: "ADDED", "MODIFIED", "DELETED" or "BOOKMARK", and the object; it ends now and then.

        Raises GoneError where the version that it is to begin at is too old.
        """
        asked = {**query, "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_SECONDS)}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        async with self._request("GET", path, doing, asked, None, "application/json", limits) as response:
            async for line in response.content:
                event = json.loads(line)
                found = event["object"]
                if event["type"] == "ERROR":
                    self._raise(int(found.get("code") or 500), found, doing)
                yield event["type"], found

    def event(self, event: dict[str, Any]) -> CoreV1Event:
        """An event as the Python client has it."""
        answer: Any = _Answer(json.dumps(event))
        return cast("CoreV1Event", self._client.deserialize(answer, "CoreV1Event"))

    async def websocket(self, path: str, query: Mapping[str, str], protocol: str) -> aiohttp.ClientWebSocketResponse:
        """A websocket to a pod by way of the API server. Raises aiohttp.ClientError."""
        url, headers = await self._addressed(path, query)
        configuration = self.access.configuration
        return await self._client.rest_client.pool_manager.ws_connect(
            url,
            headers=headers,
            protocols=(protocol,),
            heartbeat=20.0,
            proxy=configuration.proxy,
            server_hostname=configuration.tls_server_name,
            max_msg_size=0,
        )

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        doing: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        content: str,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            response = await self._send(method, path, query, body, content, limits)
            if response.status == _UNAUTHORIZED and await self._renew():
                response.close()
                response = await self._send(method, path, query, body, content, limits)
            async with response:
                if response.status not in _OK:
                    self._raise(response.status, _status(await response.read()), doing)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubernetesError(explain_network(error, self.access)) from None

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        content: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        url, headers = await self._addressed(path, query)
        headers |= {"Content-Type": content, "Accept": "application/json"}
        configuration = self.access.configuration
        return await self._client.rest_client.pool_manager.request(
            method,
            url,
            headers=headers,
            data=None if body is None else json.dumps(body),
            timeout=limits,
            proxy=configuration.proxy,
            server_hostname=configuration.tls_server_name,
        )

    async def _addressed(self, path: str, query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        headers = {"User-Agent": FIELD_MANAGER}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"])
        return f"{self.access.host}{path}" + (f"?{urlencode(query)}" if query else ""), headers

    def _raise(self, status: int, body: dict[str, Any], doing: str) -> NoReturn:
        if status == _GONE:
            raise GoneError
        raise ApiError(explain(status, body, doing, self.access), status)

    async def _renew(self) -> bool:
        """Read the kubeconfig anew: whoever wrote a newer token there, or its plug-in, may have one for us."""
        if self._given is not None or self.access.in_cluster:
            return False
        found = await accesses.load(None, self.access.namespace)
        if found.host != self.access.host or found.configuration.api_key == self.access.configuration.api_key:
            return False
        self.access.configuration.api_key = found.configuration.api_key
        return True


def _status(body: bytes) -> dict[str, Any]:
    try:
        status = json.loads(body)
    except ValueError:
        return {"message": body.decode(errors="replace")}
    return status if isinstance(status, dict) else {}
