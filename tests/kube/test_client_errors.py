"""What goes wrong is one line that says what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from jupyter_skytorch import Compute, ConnectError, connect
from jupyter_skytorch.compute.kubernetes import process, provision
from jupyter_skytorch.compute.kubernetes.errors import KubernetesError
from jupyter_skytorch.session import control

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kube.computes import Computes
    from tests.kube.control_plane import ControlPlane
    from tests.kube.operators import OperatorProcess

Change = "Callable[[Callable[[dict[str, Any]], None]], None]"


def refusal(name: str = "one", **said: Any) -> str:
    with pytest.raises(ConnectError) as caught:
        Compute(name, image="skytorch/server", **said)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def kubeconfig(user: str, tmp_path: Path) -> Change:
    """Changes the user's kubeconfig."""

    def change(how: Callable[[dict[str, Any]], None]) -> None:
        content = yaml.safe_load((tmp_path / "kubeconfig").read_text())
        how(content)
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))

    return change


def test_no_configuration(user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert "no cluster is configured" in refusal()


def test_no_cluster(kubeconfig: Change) -> None:
    kubeconfig(lambda content: content["clusters"][0]["cluster"].update(server="https://127.0.0.1:1"))
    message = refusal()
    assert "there is no cluster at https://127.0.0.1:1" in message
    assert "context 'test'" in message


def test_another_clusters_certificate(kubeconfig: Change, other_certificates: Any) -> None:
    authority = str(other_certificates.ca)
    kubeconfig(lambda content: content["clusters"][0]["cluster"].update({"certificate-authority": authority}))
    assert "can't be trusted" in refusal()


def test_a_context_that_is_not_there(kubeconfig: Change) -> None:
    kubeconfig(lambda content: content.update({"current-context": "nowhere"}))
    assert "has no context 'nowhere': kubectl config get-contexts" in refusal()


def test_no_context_at_all(kubeconfig: Change) -> None:
    kubeconfig(lambda content: content.pop("current-context"))
    assert "kubectl config use-context" in refusal()


def test_a_token_that_has_expired(kubeconfig: Change) -> None:
    kubeconfig(lambda content: content["users"][0]["user"].update(token="once-it-was-good"))
    assert "they have expired; log in again" in refusal()


async def test_a_token_that_was_renewed_in_the_file_is_taken(user: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    good = path.read_text()
    content = yaml.safe_load(good)
    content["users"][0]["user"]["token"] = "once-it-was-good"
    path.write_text(yaml.safe_dump(content))
    assert "log in again" in refusal()
    path.write_text(good)
    assert Compute("one", image="skytorch/server").resource is not None


def test_no_permission(user: str, control_plane: ControlPlane, tmp_path: Path) -> None:
    control_plane.kubeconfig_of("system:node:node1", tmp_path / "kubeconfig", user)
    message = refusal()
    assert message.startswith(f"you may not create or change the Compute 'one' in '{user}': ask who runs the cluster")


def test_no_namespace(user: str) -> None:
    assert "there is no namespace 'nowhere'" in refusal(namespace="nowhere")


def test_a_cluster_without_the_crd(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provision, "computes_path", lambda *_: "/apis/nowhere.skytorch.dev/v1/namespaces/a/computes/b")
    assert "knows no Computes: who runs the cluster has to install the CRD" in refusal()


def test_one_that_is_not_there(user: str) -> None:
    with pytest.raises(ConnectError, match=f"there is no Compute 'one' in the namespace '{user}': give an image"):
        Compute("one")
    with pytest.raises(ConnectError, match="give an image to make it"):
        connect("one", provider="kubernetes")


async def test_what_the_cluster_refuses(user: str) -> None:
    Compute("one", image="skytorch/server", volumes={"data": "1Gi"})
    assert "volumes can't be changed later; delete the Compute and make it anew" in refusal(volumes={"data": "2Gi"})
    assert "amounts are numbers of at least 0" in refusal("two", resources={"cpu": "many"})


async def test_no_operator(user: str, operator: OperatorProcess) -> None:
    operator.stop()
    try:
        compute = Compute("one", image="skytorch/server")
        with pytest.raises(ConnectError, match=r"one: nothing takes care of it for 0.2 s: is the operator running\?"):
            await compute.ready(timeout=0.2)
    finally:
        operator.start()
        operator.wait_for_log(" leads")


async def test_a_name_that_something_else_has(user: str, computes: Computes) -> None:
    await computes.core.create_namespaced_service(
        user, {"metadata": {"name": "one"}, "spec": {"ports": [{"port": 80}], "clusterIP": "None"}}
    )
    compute = Compute("one", image="skytorch/server")
    with pytest.raises(ConnectError, match=r"one can't get ready: .*Service.*one"):
        await compute.ready()
    assert not compute.is_ready()


async def test_a_quota_of_objects(user: str, computes: Computes, until: Any) -> None:
    # The CRD server of these tests goes by no quotas, but a Service is refused in the same words.
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"count/services": "0"}}}
    await computes.core.create_namespaced_resource_quota(user, quota)
    service = {"metadata": {"name": "tried"}, "spec": {"ports": [{"port": 80}], "clusterIP": "None"}}

    async def make() -> None:
        api = await process.api()
        await api.call(
            "POST", f"/api/v1/namespaces/{user}/services", "create it", body=service, query={"dryRun": "All"}
        )

    async def refused() -> str:
        try:
            await asyncio.to_thread(control.get().run, make(), 30.0)
        except KubernetesError as error:
            return str(error)
        return ""

    assert await until(refused, "the quota is gone by") == (
        "the quota of the namespace doesn't let you create it: small, requested: count/services=1, used: "
        "count/services=0, limited: count/services=0; ask for less, or delete a Compute"
    )


async def test_a_quota(user: str, computes: Computes) -> None:
    await computes.allow_no_pods("small", user)
    compute = Compute("one", image="skytorch/server")
    await computes.condition("one", "Degraded", reason="QuotaExceeded")
    with pytest.raises(ConnectError, match=r"one: it isn't ready after 0.5 s: .*exceeded quota: small"):
        await compute.ready(timeout=0.5)


async def test_never_ready(user: str, computes: Computes) -> None:
    compute = Compute("one", image="skytorch/server", annotations={"fake-kubelet/phase": "CrashLoop"})
    await computes.condition("one", "Degraded", reason="CrashLoop")
    with pytest.raises(ConnectError, match=r"one: it isn't ready after 0.5 s: the container server ends again"):
        await compute.ready(timeout=0.5)
    with pytest.raises(ConnectError, match="the container server ends again"):
        connect("one", provider="kubernetes", timeout=0.5)
    assert "CrashLoop" in compute.reason or "ends again" in compute.reason


async def test_deleted_while_it_is_waited_for(user: str, computes: Computes) -> None:
    compute = Compute("one", image="skytorch/server", annotations={"fake-kubelet/phase": "Pending"})
    waiting = asyncio.ensure_future(compute.ready())
    await computes.condition("one", "Ready", "False")
    await computes.delete("one")
    with pytest.raises(ConnectError, match=r"the Compute 'one' in .* was deleted"):
        await waiting


def test_what_goes_with_no_provider_or_another(user: str) -> None:
    with pytest.raises(ConnectError, match="image is for Computes in Kubernetes"):
        connect(image="skytorch/server")
    with pytest.raises(ConnectError, match="token does not go with the provider 'kubernetes'"):
        connect("one", provider="kubernetes", token="secret")
    with pytest.raises(ConnectError, match="needs a name"):
        connect(provider="kubernetes")
    with pytest.raises(ConnectError, match="can't be the name"):
        connect("No", provider="kubernetes", image="x")


def test_without_the_package(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_skytorch.compute.kubernetes.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'jupyter-skytorch\[kubernetes\]'"):
        Compute("one", image="skytorch/server")
    with pytest.raises(ConnectError, match="pip install"):
        connect("one", provider="kubernetes", image="skytorch/server")
