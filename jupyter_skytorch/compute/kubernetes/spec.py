"""What a Compute in Kubernetes is asked to be: from the words of a user to the object that is applied. No network."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from kubernetes_asyncio.client import CoreV1Event

    from skytorch_wire import metrics_pb2

__all__ = ["DEFAULT_PORT", "KIND", "Specification", "check_name", "domain", "specify", "volume_names"]

API_VERSION = "compute.skytorch.dev/v1alpha1"
KIND = "Compute"
DEFAULT_PORT = 50051
_LONGEST_NAME = 52
_LARGEST_PORT = 65535
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


class Specification(TypedDict, total=False):
    """The keyword arguments of a Compute in Kubernetes; :class:`jupyter_skytorch.compute.Compute` explains them."""

    image: str | None
    command: Sequence[str] | None
    args: Sequence[str] | None
    env: Mapping[str, str] | None
    resources: Mapping[str, Any] | None
    labels: Mapping[str, str] | None
    annotations: Mapping[str, str] | None
    suspend: bool
    volumes: Mapping[str, str] | Sequence[Mapping[str, Any]] | None
    host: str | None
    port: int
    namespace: str | None
    suspend_after: float | None
    on_events: Callable[[CoreV1Event], object] | None
    on_metrics: Callable[[list[metrics_pb2.Metric]], object] | None


def check_name(name: str) -> str:
    """Return the name if a Compute in Kubernetes can be called that. Raises ValueError."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ValueError(
            f"{name[:80]!r} can't be the name of a Compute in Kubernetes: small letters, digits and '-', "
            f"a letter first, no '-' last, at most {_LONGEST_NAME}"
        )
    return name


def domain(name: str, namespace: str) -> str:
    """What the cluster's own DNS calls its server."""
    return f"{name}.{namespace}.svc.cluster.local"


def specify(name: str, wanted: Specification) -> dict[str, Any] | None:
    """The object to be applied; None where there is one already, which is to stay as it is.

    What wasn't said isn't in it, so that others may say it. Raises ValueError or TypeError, one line, for what can't be
    right.
    """
    spec: dict[str, Any] = {}
    for said, (field, read) in _FIELDS.items():
        value = wanted.get(said)
        if value is not None and value != _UNSAID.get(said):
            spec[field] = read(said, value)
    if "image" not in spec:
        if spec:
            raise ValueError(f"{next(iter(spec))} is said without an image: give the image, too")
        return None
    spec["suspend"] = bool(wanted.get("suspend"))
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def volume_names(wanted: Specification) -> list[str]:
    """What its volumes are called."""
    volumes = wanted.get("volumes") or {}
    return [*volumes] if isinstance(volumes, Mapping) else [str(volume["metadata"]["name"]) for volume in volumes]


def _image(_what: str, image: Any) -> str:
    if not isinstance(image, str) or not image.strip():
        raise ValueError(f"image is the name of the server's image, as 'skytorch/server', not {image!r}")
    return image


def _port(_what: str, port: Any) -> int:
    if not isinstance(port, int) or not 0 < port <= _LARGEST_PORT:
        raise ValueError(f"port is a number from 1 to {_LARGEST_PORT}, not {port!r}")
    return port


def _words(what: str, words: Any) -> list[str]:
    if not isinstance(words, Sequence) or isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"{what} is a list of strings, not {words!r}")
    return list(words)


def _texts(what: str, texts: Any) -> dict[str, str]:
    if not isinstance(texts, Mapping):
        raise TypeError(f"{what} is a dict of strings, not {texts!r}")
    for key, value in texts.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"{what} is a dict of strings, and {key!r} is {value!r}")
    return dict(texts)


def _environment(what: str, env: Any) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in _texts(what, env).items()]


def _resources(what: str, resources: Any) -> dict[str, Any]:
    """As requests and limits, or as plain amounts, which are both."""
    if not isinstance(resources, Mapping):
        raise TypeError(f"{what} is a dict as {{'cpu': '2', 'memory': '8Gi', 'nvidia.com/gpu': 1}}, not {resources!r}")
    if set(resources) <= {"requests", "limits"}:
        return {kind: dict(amounts) for kind, amounts in resources.items()}
    return {"requests": dict(resources), "limits": dict(resources)}


def _volumes(what: str, volumes: Any) -> list[dict[str, Any]]:
    """Whole templates, or sizes by name, each with the path where it is mounted if that was said: "20Gi:/data"."""
    if not isinstance(volumes, Mapping):
        return [dict(volume) for volume in volumes]
    return [_volume(name, said) for name, said in _texts(what, volumes).items()]


def _volume(name: str, said: str) -> dict[str, Any]:
    size, colon, path = said.partition(":")
    if not size or (colon and not path.startswith("/")):
        raise ValueError(f"the volume {name!r} is a size, and maybe where it is mounted, as '20Gi:/data', not {said!r}")
    template: dict[str, Any] = {
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }
    if colon:
        template["mountPath"] = path
    return template


def _seconds(what: str, value: Any) -> int:
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{what} is a number of seconds, or 0 for never, not {value!r}")
    return math.ceil(value)


#: Values that say nothing.
_UNSAID = {"port": DEFAULT_PORT}

#: By argument: the field of the spec, and what reads the value.
_FIELDS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "image": ("image", _image),
    "command": ("command", _words),
    "args": ("args", _words),
    "env": ("env", _environment),
    "resources": ("resources", _resources),
    "labels": ("labels", _texts),
    "annotations": ("annotations", _texts),
    "volumes": ("volumeClaimTemplates", _volumes),
    "port": ("port", _port),
    "suspend_after": ("idleTimeoutSeconds", _seconds),
}
