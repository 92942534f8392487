"""Which cluster is meant, who we are there, and in which namespace."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import KubernetesError

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration

__all__ = ["Access", "check_namespace", "configured", "load"]

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DEFAULT = "default"


@dataclass(frozen=True)
class Access:
    """A cluster's API server, and what to say there."""

    configuration: Configuration
    namespace: str
    source: str
    """Where the configuration comes from, as it is said in errors."""
    in_cluster: bool = False
    """Whether this process is a pod of that cluster."""

    @property
    def host(self) -> str:
        """The API server's URL."""
        return str(self.configuration.host)


def check_namespace(namespace: str) -> str:
    """Return it if it can be one. Raises ValueError."""
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(f"{namespace[:80]!r} can't be a namespace: small letters, digits and '-', at most 63")
    return namespace


def configured() -> bool:
    """Whether there is a configuration to be found; asks nobody."""
    paths = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return _exists(paths) or ("KUBERNETES_SERVICE_HOST" in os.environ and (_SERVICE_ACCOUNT / "token").exists())


async def load(configuration: Configuration | None, namespace: str | None) -> Access:
    """Find the cluster: what was given, the kubeconfig, or that of this pod. Raises KubernetesError."""
    paths = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if configuration is not None:
        context = _context(paths) or {}
        found = Access(_unbounded(configuration), _namespace(context), "the client_config that init() was given")
    elif _exists(paths):
        found = await _from_kubeconfig(paths)
    else:
        found = _from_pod(paths)
    if namespace is None:
        return found
    return Access(found.configuration, namespace, found.source, found.in_cluster)


def _exists(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


async def _from_kubeconfig(paths: str) -> Access:
    from kubernetes_asyncio import client, config

    configuration = client.Configuration()
    try:
        loader = await config.load_kube_config(config_file=paths, client_configuration=configuration)
        current: dict[str, Any] = loader.current_context or {}
    except Exception as error:  # noqa: BLE001  (a file that somebody wrote: whatever is wrong with it)
        raise KubernetesError(_wrong(paths, error)) from None
    source = f"the context {current.get('name')!r} of {paths}"
    return Access(_unbounded(configuration), _namespace(current.get("context") or {}), source)


def _from_pod(paths: str) -> Access:
    from kubernetes_asyncio import client, config

    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        raise KubernetesError(
            f"no cluster is configured: there is no {paths}, and this is not a pod; set KUBECONFIG to the file that "
            "kubectl uses"
        ) from None
    return Access(_unbounded(configuration), _namespace({}), "this pod's service account", in_cluster=True)


def _context(paths: str) -> dict[str, Any] | None:
    from kubernetes_asyncio import config

    try:
        _, current = config.list_kube_config_contexts(config_file=paths)
    except Exception:  # noqa: BLE001  (there need not be one)
        return None
    return (current or {}).get("context")


def _namespace(context: dict[str, Any]) -> str:
    if context.get("namespace"):
        return str(context["namespace"])
    try:
        return (_SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip() or _DEFAULT
    except OSError:
        return _DEFAULT


def _unbounded(configuration: Configuration) -> Configuration:
    """With room for as many connections as there are watches; each holds one."""
    configuration.connection_pool_maxsize = 0
    return configuration


def _wrong(paths: str, error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    missing = re.search(r"Expected object with name ([^ ]+) in .*?(contexts|clusters|users)", said)
    if missing:
        name, kind = missing[1].strip("'\""), missing[2].removesuffix("s")
        return f"{paths} has no {kind} {name!r}: kubectl config get-contexts lists what there is"
    if "current-context" in said:
        return f"{paths} names no current context: kubectl config use-context NAME chooses one"
    return f"{paths} can't be used: {said[:200]}"
