"""What stands between the operator and the API server: it counts calls, and can cut them."""

from __future__ import annotations

import asyncio
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 30.0
#: Not passed on: they belong to one connection.
HOPS = {"connection", "content-length", "host", "transfer-encoding"}


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    watches: bool

    @property
    def writes(self) -> bool:
        return self.method not in {"GET", "HEAD"}


class Calls:
    """A proxy in a thread of its own: plain HTTP in, HTTPS to the API server."""

    def __init__(self, url: str, authority: Path) -> None:
        self._target = url
        self._context = ssl.create_default_context(cafile=str(authority))
        self.made: list[Call] = []
        #: The watches that were told that what they want to go on from is gone.
        self.gone: list[str] = []
        self._cut = False
        self._outdated = False
        self._told: set[str] = set()
        self._streams: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = threading.Event()
        self._stopped = asyncio.Event()
        self.port = 0
        self._thread.start()
        assert self._started.wait(SECONDS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, namespace: str) -> list[Call]:
        """Those about one namespace."""
        return [call for call in self.made if f"/namespaces/{namespace}/" in call.path]

    def cut(self) -> None:
        """Breaks all connections, and lets none through from now on."""
        self._cut = True
        self._loop.call_soon_threadsafe(self._break)

    def mend(self, *, outdated: bool = False) -> None:
        """Lets all through again; `outdated`: where each watch wants to go on from, nobody remembers."""
        self._outdated, self._told = outdated, set()
        self._cut = False

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(SECONDS)
        self._loop.close()

    def _break(self) -> None:
        for stream in self._streams:
            stream.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._context, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self._session:
            application = web.Application(client_max_size=16 << 20)
            application.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            assert site._server is not None
            self.port = site._server.sockets[0].getsockname()[1]
            self._started.set()
            await self._stopped.wait()
            self._break()
            await runner.cleanup()
        # The last connections to the API server say goodbye.
        await asyncio.sleep(0.25)

    def _query(self, request: web.Request) -> dict[str, str]:
        query = dict(request.query)
        if self._outdated and "watch" in query and request.path not in self._told:
            self._told.add(request.path)
            query["resourceVersion"] = "1"
        return query

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self._cut:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=503)
        self.made.append(Call(request.method, request.path, "watch" in request.query))
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOPS}
        url = f"{self._target}{urlsplit(str(request.rel_url)).path}"
        body = await request.read()
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            async with self._session.request(
                request.method, url, params=self._query(request), headers=headers, data=body or None
            ) as answer:
                passed = {name: value for name, value in answer.headers.items() if name.lower() not in HOPS}
                response = web.StreamResponse(status=answer.status, headers=passed)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    if "watch" in request.query and b'"code":410' in chunk:
                        self.gone.append(request.path)
                    await response.write(chunk)
                return response
        except (aiohttp.ClientError, ConnectionError, asyncio.CancelledError):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)
        finally:
            self._streams.discard(task)
