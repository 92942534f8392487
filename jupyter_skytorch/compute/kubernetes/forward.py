"""A port of a pod, on this machine: what connects here is passed on through the API server.

As kubectl port-forward does. The API server takes a websocket for each connection. In it, the first byte of a message
says to which channel it belongs: 0 carries the data and 1 what went wrong; the first message of each channel holds the
port's number.
"""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from .errors import explain, explain_network

if TYPE_CHECKING:
    from .api import Api

__all__ = ["Forward"]

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_PORT_BYTES = 2
_PIECE = 64 * 1024
_OPEN_SECONDS = 10.0


class Forward:
    """One port of one pod, for as long as the listener is open; every connection has a websocket of its own."""

    def __init__(self, api: Api, namespace: str, pod: str, port: int) -> None:
        """Use :meth:`open`."""
        self.trouble = ""
        """Why the last connection wasn't passed on; empty when it was."""
        self._api = api
        self._pod = pod
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        self._remote = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, api: Api, namespace: str, pod: str, port: int) -> Forward:
        """Listen on a free port of this machine, for this machine alone."""
        forward = cls(api, namespace, pod, port)
        forward._server = await asyncio.start_server(forward._accept, "127.0.0.1", 0, limit=_PIECE)
        return forward

    @property
    def port(self) -> int:
        """The port of this machine."""
        assert self._server is not None  # noqa: S101  (open() made it)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listen no more, and end what is passed on."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # Who connected sees a connection that is closed, and comes again.
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, asyncio.CancelledError):
            await self._pass_on(reader, writer)
        writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                websocket = await self._api.websocket(self._path, {"ports": str(self._remote)}, _PROTOCOL)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.trouble = self._why(error)
            raise
        self.trouble = ""
        async with websocket:
            directions = {
                asyncio.ensure_future(self._up(reader, websocket)),
                asyncio.ensure_future(self._down(websocket, writer)),
            }
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)

    @staticmethod
    async def _up(reader: asyncio.StreamReader, websocket: aiohttp.ClientWebSocketResponse) -> None:
        while data := await reader.read(_PIECE):
            await websocket.send_bytes(bytes([_DATA]) + data)

    async def _down(self, websocket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
        greeted: set[int] = set()
        async for message in websocket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                return
            channel, data = message.data[0], message.data[1:]
            if channel not in greeted:
                greeted.add(channel)
                data = data[_PORT_BYTES:]
            if channel == _ERROR and data:
                self.trouble = " ".join(data.decode(errors="replace").split())[:300]
                return
            if channel == _DATA and data:
                writer.write(data)
                await writer.drain()

    def _why(self, error: Exception) -> str:
        if not isinstance(error, aiohttp.WSServerHandshakeError):
            return explain_network(error, self._api.access)
        if error.status == HTTPStatus.NOT_FOUND:
            return f"the pod {self._pod} isn't there"
        return explain(error.status, {}, f"forward a port of the pod {self._pod!r}", self._api.access)
