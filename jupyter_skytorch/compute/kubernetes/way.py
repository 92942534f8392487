"""How a Compute is reached from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.compute.channel import Address
from jupyter_skytorch.compute.encryption import Encryption

from .forward import Forward
from .spec import domain

if TYPE_CHECKING:
    from .api import Api

__all__ = ["Reach"]


class Reach:
    """The host that was given, the name that the cluster's own DNS has for it, or a port-forward."""

    def __init__(self, api: Api, name: str, namespace: str, host: str | None) -> None:
        self._api = api
        self._domain = domain(name, namespace)
        self.name = name
        self.namespace = namespace
        self._host = host
        self._forward: Forward | None = None

    def address(self, port: int) -> Address:
        """Where it is."""
        return Address("grpcs", host=self._host or self._domain, port=port)

    def encryption(self, authority: str) -> Encryption:
        """Its certificate is for its name in the cluster, by whatever way it is reached."""
        return Encryption(authority=authority, certified=self._domain)

    async def via(self, port: int) -> Address | None:
        """Where to connect to instead: our end of a port-forward; None where the address itself can be reached."""
        if self._host is not None or self._api.access.in_cluster:
            return None
        if self._forward is None:
            self._forward = await Forward.open(self._api, self.namespace, f"{self.name}-0", port)
        return Address("grpcs", host="127.0.0.1", port=self._forward.port)

    @property
    def trouble(self) -> str:
        """Why the port-forward doesn't pass on; empty when it does, or there is none."""
        return self._forward.trouble if self._forward is not None else ""

    async def close(self) -> None:
        """End the port-forward."""
        if self._forward is not None:
            await self._forward.close()
            self._forward = None
