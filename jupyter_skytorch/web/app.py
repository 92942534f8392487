"""The extension as Jupyter loads and configures it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Dict, Float, List, TraitError, validate

from jupyter_skytorch.compute import providers
from jupyter_skytorch.web.connection import release
from jupyter_skytorch.web.handlers import KeepAliveHandler, MetricsHandler, SessionsHandler, StatusHandler
from jupyter_skytorch.web.hub import Hub
from jupyter_skytorch.web.kernels import Kernels
from jupyter_skytorch.web.targets import configured

if TYPE_CHECKING:
    from jupyter_skytorch.web.targets import Target


class SkyTorchApp(ExtensionApp):
    """Serves the SkyTorch sidebar under `<base_url>/skytorch/api/`."""

    name = "jupyter_skytorch"
    description = "What the Computes and sessions of all kernels are doing."
    load_other_extensions = True

    metrics_interval = Float(
        1.0, min=0.1, help="Seconds between two metric snapshots of a server, while a browser looks at it."
    ).tag(config=True)
    metrics_history = Float(
        120.0, min=1.0, help="Seconds of metrics kept of each server, for a browser that comes to look."
    ).tag(config=True)
    servers = List(
        Dict(),
        help="""Servers to watch although no kernel of this Jupyter server uses them. Each is a dictionary with
        `address` ("grpcs://host:port", "grpc://host:port" or "unix:/path"), and if needed `name`, `token_file` (the
        path of a file that holds the bearer token; it is read at each connection), `ca` (of the authority of the
        server's certificate), `cert` and `key` (our own), and `insecure` (True to do without TLS off loopback).""",
    ).tag(config=True)

    @validate("servers")
    def _check_servers(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = proposal["value"]
        for entry in entries:
            try:
                configured(entry)
            except ValueError as error:
                raise TraitError(f"SkyTorchApp.servers: {error}") from None
        return entries

    def _targets(self) -> dict[Target, str]:
        return dict(configured(entry) for entry in self.servers)

    def initialize_settings(self) -> None:
        """Makes the hub; it opens nothing until somebody looks."""
        if self.serverapp is None:
            raise RuntimeError("SkyTorchApp runs inside a Jupyter server only")
        self.settings["skytorch_hub"] = Hub(
            kernels=Kernels(self.serverapp.kernel_manager, self.serverapp.session_manager),
            configured=self._targets(),
            allowed_providers=providers.allowed(),
            interval=self.metrics_interval,
            history=self.metrics_history,
            log=self.log,
        )

    def initialize_handlers(self) -> None:
        """Adds the routes."""
        self.handlers.extend(
            [
                (r"/skytorch/api/status", StatusHandler),
                (r"/skytorch/api/sessions", SessionsHandler),
                (r"/skytorch/api/computes/([0-9a-f]+)/sessions/([A-Za-z0-9_-]+)/keep-alive", KeepAliveHandler),
                (r"/skytorch/api/metrics", MetricsHandler),
            ]
        )

    async def stop_extension(self) -> None:
        """Ends every stream, to the servers and to the browsers."""
        await self.settings["skytorch_hub"].close()
        await release()
