"""What a Compute can't be: the API server refuses it, or the operator does, with words that say why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_asyncio.client import ApiException

if TYPE_CHECKING:
    from tests.kube.computes import Computes


def volume(name: str = "data", size: Any = "1Gi") -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"resources": {"requests": {"storage": size}}}}


@pytest.mark.parametrize("name", ["1gpu", "a.b", "x" * 53])
async def test_a_name_that_no_service_could_have_is_refused(computes: Computes, name: str) -> None:
    with pytest.raises(ApiException) as refused:
        await computes.create(name)
    assert refused.value.status == 422
    assert "the name must be at most 52 characters" in json.loads(refused.value.body)["message"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"image": ""}, "spec.image"),
        ({"image": "a b"}, "spec.image"),
        ({"port": 0}, "spec.port"),
        ({"idleTimeoutSeconds": -1}, "spec.idleTimeoutSeconds"),
        ({"env": [{"name": "A B"}]}, "spec.env[0].name"),
        ({"env": [{"name": "A"}, {"name": "A"}]}, "Duplicate value"),
        ({"resources": {"limits": {"cpu": "two"}}}, "amounts are numbers of at least 0"),
        ({"resources": {"requests": {"cpu": "-1"}}}, "amounts are numbers of at least 0"),
        ({"resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": 1}}}, "no request may be larger"),
        ({"volumeClaimTemplates": [volume(size="much")]}, "a size is a number larger than 0"),
        ({"volumeClaimTemplates": [volume(), volume()]}, "a name of its own"),
        ({"volumeClaimTemplates": [volume("skytorch-tmp")]}, "are the operator's"),
    ],
    ids=str,
)
async def test_a_spec_that_cannot_be_is_refused(computes: Computes, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiException) as refused:
        await computes.create("gpu", **spec)
    assert refused.value.status == 422
    assert words in json.loads(refused.value.body)["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"port": 6000}, "the port can't be changed later"),
        ({"volumeClaimTemplates": [volume(size="2Gi")]}, "volumes can't be changed later"),
        ({"volumeClaimTemplates": None}, "volumes can't be changed later"),
    ],
    ids=["port", "volumes", "no volumes"],
)
async def test_what_a_stateful_set_cannot_change_a_compute_cannot_either(
    computes: Computes, change: dict[str, Any], words: str
) -> None:
    await computes.create("gpu", volumeClaimTemplates=[volume()])
    with pytest.raises(ApiException) as refused:
        await computes.change("gpu", **change)
    assert refused.value.status == 422
    assert words in json.loads(refused.value.body)["message"]


async def test_what_the_configuration_does_not_allow_is_not_run(computes: Computes) -> None:
    await computes.create("gpu", override={"serviceAccountName": "admin"})
    degraded = await computes.condition("gpu", "Degraded", reason="NotAllowed")
    assert "serviceAccountName 'admin' isn't allowed by the operator's configuration" in degraded["message"]
    assert (await computes.apps.list_namespaced_stateful_set(computes.namespace)).items == []

    await computes.core.create_namespaced_service_account(computes.namespace, {"metadata": {"name": "trainer"}})
    await computes.change("gpu", override={"serviceAccountName": "trainer"})
    await computes.ready("gpu")
    pod = await computes.pod("gpu")
    assert pod is not None
    assert pod["spec"]["serviceAccountName"] == "trainer"


async def test_what_only_the_api_server_can_judge_is_said_in_its_words(computes: Computes) -> None:
    await computes.create("gpu", labels={"team": "not a value"})
    degraded = await computes.condition("gpu", "Degraded", reason="Refused")
    assert "a valid label must" in degraded["message"]
    await computes.change("gpu", labels={"team": "blue"})
    await computes.ready("gpu")


async def test_one_that_runs_can_still_be_suspended_when_it_asks_for_too_much(computes: Computes) -> None:
    await computes.create("gpu")
    await computes.ready("gpu")
    await computes.change("gpu", suspend=True, annotations={"iam.example.com/role": "admin"})
    await computes.condition("gpu", "Suspended")
    await computes.condition("gpu", "Degraded", reason="NotAllowed")
    assert await computes.pod("gpu") is None


@pytest.mark.parametrize("kind", ["Secret", "Service", "StatefulSet"])
async def test_what_has_the_name_already_is_left_alone(computes: Computes, kind: str) -> None:
    metadata = {"name": "gpu", "labels": {"whose": "theirs"}}
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    match kind:
        case "Secret":
            read = computes.core.read_namespaced_secret
            body: dict[str, Any] = {"metadata": metadata, "stringData": {"password": "theirs"}}
            await computes.core.create_namespaced_secret(computes.namespace, body)
        case "Service":
            read = computes.core.read_namespaced_service
            body = {"metadata": metadata, "spec": {"ports": [{"port": 80, "protocol": "TCP"}]}}
            await computes.core.create_namespaced_service(computes.namespace, body)
        case _:
            read = computes.apps.read_namespaced_stateful_set
            spec = {"serviceName": "x", "replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": pod}
            await computes.apps.create_namespaced_stateful_set(computes.namespace, {"metadata": metadata, "spec": spec})
    before = await read("gpu", computes.namespace)
    await computes.create("gpu")
    degraded = await computes.condition("gpu", "Degraded", reason="NameTaken")
    assert f"there is a {kind} named gpu that isn't this Compute's" in degraded["message"]
    after = await read("gpu", computes.namespace)
    assert after.metadata.owner_references is None
    if kind == "Secret":
        assert after.data == before.data
    else:
        assert after.spec == before.spec


async def test_a_volume_of_somebody_else_is_not_mounted_however_names_are_put_together(computes: Computes) -> None:
    # As the StatefulSet "my-postgres" would have it.
    body = {
        "metadata": {"name": "data-my-postgres-0"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await computes.core.create_namespaced_persistent_volume_claim(computes.namespace, body)
    await computes.create("postgres", volumeClaimTemplates=[volume("data-my")])
    degraded = await computes.condition("postgres", "Degraded", reason="NameTaken")
    assert "the volume data-my-postgres-0 isn't this Compute's" in degraded["message"]
    assert await computes.pod("postgres") is None
