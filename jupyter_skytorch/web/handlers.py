"""The REST and WebSocket contract of the sidebar. All of it needs Jupyter's authentication and authorization."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import tornado.web
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from jupyter_skytorch.web.keeping import KeepAliveError
from skytorch_wire import PROTOCOL_VERSION, __version__

if TYPE_CHECKING:
    from jupyter_skytorch.web.hub import Hub

AUTH_RESOURCE = "skytorch"


class _SkyTorchHandler(JupyterHandler):
    auth_resource = AUTH_RESOURCE

    @property
    def hub(self) -> Hub:
        hub: Hub = self.settings["skytorch_hub"]
        return hub


class StatusHandler(_SkyTorchHandler, APIHandler):
    """`GET skytorch/api/status`: which version this is, so that a browser can tell that it is of another."""

    @tornado.web.authenticated
    @authorized
    async def get(self) -> None:
        """Answers 200 with the version of the package, and the settings that a browser needs.

        {"version": "0.1.0", "protocol_version": 1,
         "metrics_interval": seconds between two snapshots, "metrics_history": seconds kept}
        """
        await self.finish(
            {
                "version": __version__,
                "protocol_version": PROTOCOL_VERSION,
                "metrics_interval": self.hub.interval,
                "metrics_history": self.hub.history,
            }
        )


class SessionsHandler(_SkyTorchHandler, APIHandler):
    """`GET skytorch/api/sessions`: the Computes of all kernels, with their sessions."""

    @tornado.web.authenticated
    @authorized
    async def get(self) -> None:
        """Answers 200 with what is so now, within a few seconds even when a server does not answer.

        {"computes": [{
            "id": names the Compute in this API, "name", "provider", "address",
            "health": {
                "state": "unknown" (not asked yet) | "serving" | "unreachable" | "refused" (it answers, and says no)
                         | "unwatched" (its provider is not allowed, so it was not asked),
                "since": ISO 8601 or null, "reason": text},
            "sessions": [{
                "session_id", "name", "created": ISO 8601,
                "state": "active" (its server has it)
                         | "unconfirmed" (its server could not be asked)
                         | "orphan" (its kernel is gone)
                         | "lost" (its kernel lives, its server does not have it)
                         | "ended" (closed, expired or crashed on its server),
                "reason": text,
                "kernel": {"id", "name", "state", "notebook": path or null}, null if not of this Jupyter server,
                "host": where its kernel is if not on this machine, or null,
                "stats": {"operations", "bytes_received", "bytes_sent", "storages", "storage_bytes", "resident_bytes"}
                         or null,
                "memory_bytes": what its tensors may take on a device, or null,
                "expiry": {"seconds", "cause": "no heartbeat" | "maximum age", "soon": whether it is announced}, of an
                          orphan and of what ends soon, else null}]}]}
        """
        await self.finish({"computes": await self.hub.computes()})


class KeepAliveHandler(_SkyTorchHandler, APIHandler):
    """`POST skytorch/api/computes/<id>/sessions/<session_id>/keep-alive`: renews a session's lease."""

    @tornado.web.authenticated
    @authorized
    async def post(self, compute_id: str, session_id: str) -> None:
        """Answers 200 with when the session ends now, as `expiry` of `GET skytorch/api/sessions` but never null.

        404 for a Compute or a session that is not there, 409 where only a kernel holds the credential to ask with, 502
        for a server that can't be asked. All but 200 say why in `message`.
        """
        try:
            await self.finish(await self.hub.keep_alive(compute_id, session_id))
        except KeepAliveError as error:
            raise tornado.web.HTTPError(error.status, str(error)) from None


class MetricsHandler(WebSocketMixin, WebSocketHandler, _SkyTorchHandler):
    """`WebSocket skytorch/api/metrics`: the state and the metrics, live. What a browser sends is ignored.

    Messages are JSON of two types:

    {"type": "state", "computes": as `GET skytorch/api/sessions` has it}, at the beginning and at each change;
    {"type": "metrics", "compute": id, "series": [{
        "name": "gpu.utilization", "source": "nvidia-gpu", "kind": "gauge" | "counter", "unit", "labels": {}, "help",
        "points": [[time in ms since 1970 by the server's clock, value]]}]},
    at the beginning with the points so far, then with one point of each series for each snapshot of the server.
    """

    _task: asyncio.Task[None] | None = None

    def set_default_headers(self) -> None:
        """Leaves out the headers of an HTTP answer."""

    @ws_authenticated
    @authorized
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Upgrades the request to a WebSocket: 101, or 403 for those who may not."""
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Begins to look."""
        super().open(*args, **kwargs)
        self._task = asyncio.create_task(self._pump())

    def on_message(self, message: str | bytes) -> None:
        """Ignores what a browser says."""

    def on_close(self) -> None:
        """Ends looking."""
        super().on_close()
        if self._task is not None:
            self._task.cancel()

    async def _pump(self) -> None:
        async with self.hub.look() as mailbox:
            # Waiting for each message to be written keeps what a slow browser has not read in the bounded mailbox.
            while (message := await mailbox.get()) is not None:
                try:
                    await self.write_message(json.dumps(message))
                except WebSocketClosedError:
                    return
        self.close(1001, "The Jupyter server is shutting down.")
