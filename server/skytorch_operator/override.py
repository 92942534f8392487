"""
Parts of the pod template that a Compute sets itself, each only as far as the operator's configuration allows it.

Whoever may create a Compute may not thereby create any pod: only fields that are known here are passed on, what nobody
thought of is refused. Host paths, projected tokens, privileges and users aren't known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skytorch_operator.objects import CONTAINER, unprivileged
from skytorch_operator.policy import NotAllowedError

if TYPE_CHECKING:
    from skytorch_operator.api import Object
    from skytorch_operator.policy import Policy

#: How the thing that a volume shows is named in it.
VOLUMES = {"persistentVolumeClaim": "claimName", "configMap": "name", "secret": "secretName"}
#: The same for what a variable takes its value from.
SOURCES = {"configMapKeyRef": "configMap", "secretKeyRef": "secret"}
#: What a variable may say about its own pod.
HARMLESS = {"fieldRef", "resourceFieldRef"}
INIT_CONTAINER = {"name", "image", "command", "args", "workingDir", "env", "resources", "volumeMounts"}
#: How the operator's own volumes begin.
OURS = "skytorch-"


def overridden(template: Object, compute: Object, policy: Policy) -> Object:
    """The pod template with the Compute's own parts. Raises NotAllowedError."""
    spec = compute["spec"]
    for kind in ("labels", "annotations"):
        for key in spec.get(kind, {}):
            policy.check(kind, key)
    override = _mapping(spec.get("override", {}), "override")
    pod = dict(template["spec"])
    for name, value in override.items():
        if name not in PARTS:
            raise NotAllowedError(f"override.{name} isn't known; known are {', '.join(sorted(PARTS))}")
        PARTS[name](pod, value, policy)
    return {**template, "spec": pod}


def _service_account(pod: Object, value: Any, policy: Policy) -> None:
    name = _text(value, "serviceAccountName")
    policy.check("serviceAccountName", name)
    # Nobody asks for an account and not for what it may do.
    pod |= {"serviceAccountName": name, "automountServiceAccountToken": True}


def _node_selector(pod: Object, value: Any, policy: Policy) -> None:
    labels = _mapping(value, "nodeSelector")
    for key, label in labels.items():
        policy.check("nodeSelector", f"{key}={_text(label, f'nodeSelector.{key}')}")
    pod["nodeSelector"] = labels


def _affinity(pod: Object, value: Any, policy: Policy) -> None:
    kinds = _mapping(value, "affinity")
    for kind in kinds:
        policy.check("affinity", kind)
    pod["affinity"] = kinds


def _tolerations(pod: Object, value: Any, policy: Policy) -> None:
    tolerations = [_mapping(one, "tolerations") for one in _sequence(value, "tolerations")]
    for one in tolerations:
        # One without a key tolerates every taint: only a pattern that matches everything allows it.
        policy.check("tolerations", _text(one.get("key", ""), "tolerations.key"))
    pod["tolerations"] = tolerations


def _pull_secrets(pod: Object, value: Any, policy: Policy) -> None:
    names = [
        _name(_mapping(one, "imagePullSecrets"), "imagePullSecrets") for one in _sequence(value, "imagePullSecrets")
    ]
    for name in names:
        policy.check("imagePullSecrets", name)
    pod["imagePullSecrets"] = [{"name": name} for name in names]


def _volumes(pod: Object, value: Any, policy: Policy) -> None:
    volumes = [_mapping(one, "volumes") for one in _sequence(value, "volumes")]
    for volume in volumes:
        name = _name(volume, "volumes")
        if name.startswith(OURS):
            raise NotAllowedError(f"the volume {name!r} needs a name that doesn't begin with {OURS}")
        kinds = volume.keys() - {"name"}
        kind = next(iter(kinds)) if len(kinds) == 1 else ""
        if kind == "emptyDir":
            policy.check("volumes", kind)
        elif kind in VOLUMES:
            source = _mapping(volume[kind], f"volumes.{kind}")
            policy.check("volumes", f"{kind}/{_text(source.get(VOLUMES[kind], ''), f'volumes.{kind}')}")
        else:
            known = ", ".join(["emptyDir", *VOLUMES])
            raise NotAllowedError(f"the volume {name!r} must be one of {known}, and nothing else is allowed")
    pod["volumes"] = [*volumes, *pod["volumes"]]


def _init_containers(pod: Object, value: Any, policy: Policy) -> None:
    pod["initContainers"] = [
        _init_container(_mapping(one, "initContainers"), policy) for one in _sequence(value, "initContainers")
    ]


def _init_container(asked: Object, policy: Policy) -> Object:
    _only(asked, INIT_CONTAINER, "initContainers")
    policy.check("initContainers", _text(asked.get("image", ""), "initContainers.image"))
    return {
        **asked,
        "env": _environment(asked.get("env", []), policy),
        "volumeMounts": _mounts(asked.get("volumeMounts", [])),
        "securityContext": unprivileged(),
    }


def _containers(pod: Object, value: Any, policy: Policy) -> None:
    (server,) = pod["containers"]
    for one in _sequence(value, "containers"):
        asked = _mapping(one, "containers")
        if asked.get("name") != CONTAINER:
            raise NotAllowedError(f"override.containers may change the container {CONTAINER!r} only")
        _only(asked, {"name", "env", "volumeMounts"}, "containers")
        for part in asked.keys() - {"name"}:
            policy.check("containers", part)
        ours = {variable["name"] for variable in server["env"]}
        environment = [
            variable for variable in _environment(asked.get("env", []), policy) if variable["name"] not in ours
        ]
        server = server | {
            "env": [*environment, *server["env"]],
            "volumeMounts": [*server["volumeMounts"], *_mounts(asked.get("volumeMounts", []))],
        }
    pod["containers"] = [server]


def _environment(value: Any, policy: Policy) -> list[Object]:
    variables = [_mapping(one, "env") for one in _sequence(value, "env")]
    for variable in variables:
        name = _name(variable, "env")
        _only(variable, {"name", "value", "valueFrom"}, "env")
        for kind, source in _mapping(variable.get("valueFrom", {}), f"env {name}").items():
            if kind in SOURCES:
                policy.check("volumes", f"{SOURCES[kind]}/{_name(_mapping(source, kind), kind)}")
            elif kind not in HARMLESS:
                raise NotAllowedError(f"the variable {name!r} can't take its value from {kind}")
    return variables


def _mounts(value: Any) -> list[Object]:
    mounts = [_mapping(one, "volumeMounts") for one in _sequence(value, "volumeMounts")]
    for mount in mounts:
        name = _name(mount, "volumeMounts")
        _only(mount, {"name", "mountPath", "readOnly", "subPath"}, "volumeMounts")
        if name.startswith(OURS):
            raise NotAllowedError(f"the volume {name!r} is the operator's own")
    return mounts


PARTS = {
    "serviceAccountName": _service_account,
    "nodeSelector": _node_selector,
    "affinity": _affinity,
    "tolerations": _tolerations,
    "imagePullSecrets": _pull_secrets,
    "volumes": _volumes,
    "initContainers": _init_containers,
    "containers": _containers,
}


def _only(value: Object, known: set[str], where: str) -> None:
    if unknown := sorted(value.keys() - known):
        raise NotAllowedError(f"{', '.join(unknown)} can't be set in override's {where}")


def _name(value: Object, where: str) -> str:
    return _text(value.get("name"), f"{where}.name")


def _mapping(value: Any, where: str) -> Object:
    if not isinstance(value, dict):
        raise NotAllowedError(f"override: {where} must be a mapping")
    return value


def _sequence(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise NotAllowedError(f"override: {where} must be a list")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise NotAllowedError(f"override: {where} must be a text")
    return value
