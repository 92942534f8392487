"""What a Compute sets of its pod is passed on where the configuration allows it; nothing else of a pod can be set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from skytorch_operator import objects, policy
from skytorch_operator.override import overridden
from skytorch_operator.policy import ConfigurationError, NotAllowedError, Policy

if TYPE_CHECKING:
    from pathlib import Path

ALLOWED = Policy(
    labels=("team",),
    annotations=("note/*",),
    serviceAccountName=("trainer",),
    nodeSelector=("pool=gpu*",),
    affinity=("nodeAffinity",),
    tolerations=("nvidia.com/gpu",),
    imagePullSecrets=("pull",),
    volumes=("emptyDir", "persistentVolumeClaim/datasets", "configMap/settings", "secret/open-*"),
    initContainers=("busybox",),
    containers=("env", "volumeMounts"),
)
SERVER = {"name": "server"}


def pod(allowed: Policy = ALLOWED, override: Any = None, **spec: Any) -> dict[str, Any]:
    """The pod of a Compute."""
    compute = {
        "metadata": {"name": "gpu", "namespace": "here", "uid": "1"},
        "spec": {"image": "image", "port": 50051, "suspend": False, "override": override or {}, **spec},
    }
    return overridden(objects.template(compute), compute, allowed)["spec"]


def init(**fields: Any) -> dict[str, Any]:
    return {"initContainers": [{"name": "first", "image": "busybox", **fields}]}


def variable(source: Any) -> dict[str, Any]:
    return {"containers": [{**SERVER, "env": [{"name": "A", "valueFrom": source}]}]}


def volume(**fields: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "data", **fields}]}


PASSED_ON = [
    {"nodeSelector": {"pool": "gpu-large"}},
    {"affinity": {"nodeAffinity": {}}},
    {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]},
    {"imagePullSecrets": [{"name": "pull"}]},
]


@pytest.mark.parametrize("override", PASSED_ON, ids=str)
def test_what_is_allowed_is_passed_on(override: dict[str, Any]) -> None:
    made = pod(override=override)
    assert {name: made[name] for name in override} == override


def test_an_allowed_account_comes_with_its_token_and_without_one_there_is_none() -> None:
    assert pod()["automountServiceAccountToken"] is False
    made = pod(override={"serviceAccountName": "trainer"})
    assert (made["serviceAccountName"], made["automountServiceAccountToken"]) == ("trainer", True)


def test_allowed_volumes_variables_and_mounts_are_added_to_the_servers_own() -> None:
    override = {
        **volume(persistentVolumeClaim={"claimName": "datasets", "readOnly": True}),
        "containers": [
            {
                **SERVER,
                "env": [
                    {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "open-key", "key": "k"}}},
                    {"name": "SKYTORCH_TOKEN_FILE", "value": "/elsewhere"},
                ],
                "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
            }
        ],
    }
    made = pod(override=override)
    assert [one["name"] for one in made["volumes"]] == ["data", "skytorch-credentials", "skytorch-tmp"]
    (server,) = made["containers"]
    values = {one["name"]: one.get("value") for one in server["env"]}
    assert values["SKYTORCH_TOKEN_FILE"] == "/var/run/skytorch/token"
    assert "KEY" in values
    assert [one["mountPath"] for one in server["volumeMounts"]] == ["/var/run/skytorch", "/tmp", "/data"]  # noqa: S108


def test_an_init_container_has_no_privileges_either() -> None:
    (first,) = pod(override=init(command=["true"]))["initContainers"]
    assert first["securityContext"] == objects.unprivileged()


REFUSED = [
    {"serviceAccountName": "admin"},
    {"serviceAccountName": ["trainer"]},
    {"serviceAccount": "trainer"},
    {"nodeSelector": {"pool": "control"}},
    {"nodeSelector": {"pool": 1}},
    {"nodeSelector": ["pool"]},
    {"affinity": {"podAffinity": {}}},
    {"tolerations": [{"operator": "Exists"}]},
    {"tolerations": [{"key": "node-role.kubernetes.io/control-plane"}]},
    {"tolerations": "all"},
    {"imagePullSecrets": [{"name": "other"}]},
    volume(hostPath={"path": "/"}),
    volume(emptyDir={}, hostPath={"path": "/"}),
    volume(),
    volume(secret={"secretName": "other"}),
    volume(secret={}),
    volume(configMap={"name": "other"}),
    volume(persistentVolumeClaim={"claimName": "other"}),
    volume(projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}),
    volume(csi={"driver": "any"}),
    volume(nfs={"server": "any", "path": "/"}),
    {"volumes": [{"name": "skytorch-credentials", "emptyDir": {}}]},
    {"volumes": ["data"]},
    init(image="other"),
    init(securityContext={"privileged": True}),
    init(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]),
    init(volumeMounts=[{"name": "skytorch-credentials", "mountPath": "/a"}]),
    init(volumeMounts=[{"name": "data", "mountPath": "/a", "mountPropagation": "Bidirectional"}]),
    variable({"secretKeyRef": {"name": "other", "key": "k"}}),
    variable({"fileKeyRef": {}}),
    variable("text"),
    {"containers": [{"name": "sidecar", "image": "other"}]},
    {"containers": [{**SERVER, "securityContext": {"privileged": True}}]},
    {"containers": [{**SERVER, "lifecycle": {}}]},
    {"containers": SERVER},
    {"securityContext": {"runAsUser": 0}},
    {"hostNetwork": True},
    {"hostPID": True},
    {"schedulerName": "mine"},
    {"priorityClassName": "system-node-critical"},
    {"runtimeClassName": "other"},
    {"automountServiceAccountToken": True},
    {"shareProcessNamespace": True},
]


@pytest.mark.parametrize("override", REFUSED, ids=str)
def test_what_is_not_allowed_is_refused_whatever_it_looks_like(override: dict[str, Any]) -> None:
    with pytest.raises(NotAllowedError):
        pod(override=override)


@pytest.mark.parametrize(
    "override", [*PASSED_ON, {"serviceAccountName": "trainer"}, volume(emptyDir={}), init()], ids=str
)
def test_without_a_configuration_nothing_is_allowed(override: dict[str, Any]) -> None:
    with pytest.raises(NotAllowedError, match="isn't allowed by the operator's configuration"):
        pod(Policy(), override=override)


@pytest.mark.parametrize("spec", [{"labels": {"app": "database"}}, {"annotations": {"iam/role": "admin"}}], ids=str)
def test_labels_and_annotations_that_others_go_by_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(NotAllowedError):
        pod(**spec)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("allow: {hostPath: [/]}", "hostPath is not known"),
        ("allowed: {}", "allowed is not known"),
        ("allow: {labels: team}", "allow.labels must be a list of patterns"),
        ("allow: [labels]", "allow must be a mapping"),
        ("allow: {labels: [", "configuration.yaml"),
    ],
)
def test_a_configuration_that_cannot_be_understood_is_no_configuration(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        policy.read(path)


def test_an_empty_configuration_allows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text("")
    assert policy.read(path).allow == policy.read(None).allow == Policy()
