"""A Compute's server from a reference to its Secret, as session records hold it: for sessions of other kernels."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from jupyter_skytorch.compute.credentials import Credential
from jupyter_skytorch.compute.place import Place

from . import NAME, process
from .errors import KubernetesError

if TYPE_CHECKING:
    from jupyter_skytorch.compute.channel import Address

    from .api import Api
    from .way import Reach

__all__ = ["locate", "place", "refers_to"]

_REFERENCE = re.compile(r".+/api/v1/namespaces/(?P<namespace>[^/]+)/secrets/(?P<name>[^/]+)")


async def place(api: Api, reach: Reach, port: int) -> Place:
    """Where a Compute's server is, and how to come in: what its Secret says, read as this user.

    Raises KubernetesError.
    """
    path = f"/api/v1/namespaces/{reach.namespace}/secrets/{reach.name}"
    secret = await api.call("GET", path, f"read the Secret {reach.name!r}, which holds the Compute's token")
    token, authority = _parts(secret)
    return Place(
        NAME,
        reach.name,
        reach.address(port),
        Credential("kubernetes-secret", api.access.host + path),
        token=token,
        encryption=reach.encryption(authority),
        via=await reach.via(port),
    )


async def locate(credential: Credential, address: Address) -> Place:
    """Find the server of a reference, which was at an address. Raises KubernetesError."""
    namespace, name = refers_to(credential)
    api = await process.api()
    if not (credential.path or "").startswith(f"{api.access.host}/api/"):
        raise KubernetesError(f"{credential.path} is not in {api.access.host}, the cluster of {api.access.source}")
    reach = process.reach(api, name, namespace)
    if address != reach.address(address.port):
        reach = process.reach(api, name, namespace, address.host)
    return await place(api, reach, address.port)


def refers_to(credential: Credential) -> tuple[str, str]:
    """The namespace and the name of the Compute whose Secret is meant. Raises KubernetesError."""
    found = _REFERENCE.fullmatch(credential.path or "")
    if found is None:
        raise KubernetesError(f"{credential.path!r} is not the address of a Secret")
    return found["namespace"], found["name"]


def _parts(secret: dict[str, Any]) -> tuple[str, str]:
    try:
        token, authority = (base64.b64decode(secret["data"][key]).decode() for key in ("token", "ca.crt"))
    except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
        name = secret["metadata"]["name"]
        raise KubernetesError(f"the Secret {name!r} is not one of a Compute: it has no token and ca.crt") from None
    return token.strip(), authority
