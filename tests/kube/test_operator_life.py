"""A Compute is made, changed, suspended, resumed and deleted, and so is what belongs to it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from cryptography import x509

if TYPE_CHECKING:
    from tests.kube.computes import Computes


async def test_a_compute_gets_a_stateful_set_a_service_and_a_secret_and_is_ready(computes: Computes) -> None:
    made = await computes.create("gpu")
    compute = await computes.ready("gpu")

    host = f"gpu.{computes.namespace}.svc.cluster.local"
    assert compute["status"]["addresses"] == [{"host": host, "port": 50051}]
    stateful_set = await computes.apps.read_namespaced_stateful_set("gpu", computes.namespace)
    service = await computes.core.read_namespaced_service("gpu", computes.namespace)
    secret = await computes.core.read_namespaced_secret("gpu", computes.namespace)
    for owned in (stateful_set, service, secret):
        (owner,) = owned.metadata.owner_references
        assert (owner.uid, owner.controller) == (made["metadata"]["uid"], True)
    assert set(secret.data) == {"token", "ca.crt", "tls.crt", "tls.key"}
    assert service.spec.cluster_ip == "None"


async def test_the_certificate_names_the_service_and_its_authority_signed_it(computes: Computes) -> None:
    await computes.create("gpu")
    await computes.ready("gpu")
    data = (await computes.core.read_namespaced_secret("gpu", computes.namespace)).data
    certificate, authority = (
        x509.load_pem_x509_certificate(base64.b64decode(data[part])) for part in ("tls.crt", "ca.crt")
    )
    certificate.verify_directly_issued_by(authority)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    host = f"gpu.{computes.namespace}"
    expected = [f"{host}.svc.cluster.local", f"{host}.svc", host, "gpu", "localhost"]
    assert names.get_values_for_type(x509.DNSName) == expected
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


async def test_the_server_runs_as_nobody_in_particular_with_its_settings_in_its_environment(
    computes: Computes,
) -> None:
    await computes.create(
        "gpu",
        command=["run"],
        args=["--well"],
        port=6000,
        env=[{"name": "WELL", "value": "1"}, {"name": "SKYTORCH_HOST", "value": "elsewhere"}],
        resources={"limits": {"cpu": "1", "memory": "1Gi"}},
        labels={"team": "blue"},
        annotations={"note": "mine"},
    )
    await computes.ready("gpu")
    pod = await computes.pod("gpu")
    assert pod is not None
    assert pod["metadata"]["labels"]["team"] == "blue"
    assert pod["metadata"]["annotations"]["note"] == "mine"
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, 1000)
    (server,) = spec["containers"]
    assert (server["image"], server["command"], server["args"]) == ("skytorch/server", ["run"], ["--well"])
    assert server["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert {one["name"]: one["value"] for one in server["env"]} == {
        "WELL": "1",
        "SKYTORCH_COPY_TO": f"*.{computes.namespace}.svc.cluster.local",
        "SKYTORCH_HOST": "0.0.0.0",  # noqa: S104 - in a pod
        "SKYTORCH_PORT": "6000",
        "SKYTORCH_TOKEN_FILE": "/var/run/skytorch/token",
        "SKYTORCH_TLS_CERT": "/var/run/skytorch/tls.crt",
        "SKYTORCH_TLS_KEY": "/var/run/skytorch/tls.key",
    }
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in server["volumeMounts"]}
    assert mounts == {"/var/run/skytorch": True, "/tmp": False}  # noqa: S108 - the pod's own


async def test_another_image_means_another_pod_and_ready_means_that_one(computes: Computes) -> None:
    await computes.create("gpu")
    await computes.ready("gpu")
    before = await computes.pod("gpu")
    await computes.change("gpu", image="skytorch/server:2")
    compute = await computes.ready("gpu")
    after = await computes.pod("gpu")
    assert before is not None
    assert after is not None
    assert compute["status"]["observedGeneration"] == compute["metadata"]["generation"] == 2
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"]["containers"][0]["image"] == "skytorch/server:2"


async def test_suspended_it_runs_nothing_and_keeps_its_volumes_and_resumed_it_has_them_again(
    computes: Computes,
) -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    await computes.create("gpu", volumeClaimTemplates=[claim])
    await computes.ready("gpu")
    volume = await computes.core.read_namespaced_persistent_volume_claim("data-gpu-0", computes.namespace)

    await computes.change("gpu", suspend=True)
    await computes.condition("gpu", "Suspended")
    compute = await computes.get("gpu")
    conditions = {one["type"]: (one["status"], one["reason"]) for one in compute["status"]["conditions"]}
    assert conditions["Ready"] == ("False", "Suspended")
    assert conditions["Progressing"][0] == conditions["Degraded"][0] == "False"
    assert compute["status"]["addresses"] == []
    assert await computes.pod("gpu") is None

    await computes.change("gpu", suspend=False)
    await computes.ready("gpu")
    pod = await computes.pod("gpu")
    assert pod is not None
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounted["data"] == "/mnt/data"
    again = await computes.core.read_namespaced_persistent_volume_claim("data-gpu-0", computes.namespace)
    assert again.metadata.uid == volume.metadata.uid


async def test_what_belongs_to_a_compute_goes_with_it_and_its_name_is_free_again(
    computes: Computes, until: Any
) -> None:
    await computes.create("gpu")
    await computes.ready("gpu")
    token = (await computes.core.read_namespaced_secret("gpu", computes.namespace)).data["token"]
    await computes.delete("gpu")
    # At once: what is left of the former one is waited for.
    await computes.create("gpu")
    await computes.ready("gpu")
    secret = await computes.core.read_namespaced_secret("gpu", computes.namespace)
    assert secret.data["token"] != token

    await computes.delete("gpu")

    async def gone() -> bool:
        lists = (
            await computes.apps.list_namespaced_stateful_set(computes.namespace),
            await computes.core.list_namespaced_service(computes.namespace),
            await computes.core.list_namespaced_pod(computes.namespace),
        )
        secrets = await computes.core.list_namespaced_secret(
            computes.namespace, label_selector="compute.skytorch.dev/name"
        )
        return not any(found.items for found in (*lists, secrets))

    await until(gone, "everything of the Compute is gone")


async def test_a_change_by_somebody_else_is_taken_back_and_a_secret_that_is_gone_is_made_anew(
    computes: Computes, until: Any
) -> None:
    await computes.create("gpu")
    await computes.ready("gpu")
    scale = {"spec": {"replicas": 3}}
    await computes.apps.patch_namespaced_stateful_set("gpu", computes.namespace, scale)
    await computes.core.delete_namespaced_secret("gpu", computes.namespace)

    async def mended() -> bool:
        stateful_set = await computes.apps.read_namespaced_stateful_set("gpu", computes.namespace)
        secrets = await computes.core.list_namespaced_secret(computes.namespace)
        return stateful_set.spec.replicas == 1 and any(one.metadata.name == "gpu" for one in secrets.items)

    await until(mended, "it is as it should be")


async def test_events_tell_the_course_of_a_compute(computes: Computes, until: Any) -> None:
    await computes.create("gpu")
    await computes.ready("gpu")
    await computes.change("gpu", suspend=True)
    await computes.condition("gpu", "Suspended")

    async def told() -> bool:
        events = await computes.events("gpu")
        return {("Normal", "Created"), ("Normal", "Ready"), ("Normal", "Suspended")} <= set(events)

    await until(told, "the events are there")
    events = await computes.core.list_namespaced_event(computes.namespace)
    secret = await computes.core.read_namespaced_secret("gpu", computes.namespace)
    token = base64.b64decode(secret.data["token"]).decode()
    assert not any(token in str(event) for event in events.items)
