"""One control plane for all tests in here, a namespace for each of them, and the operator at work."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_asyncio import client, config

import jupyter_skytorch
from bench.embedded import private_runtime
from jupyter_skytorch.compute.kubernetes import process
from tests.kube import people
from tests.kube.calls import Calls
from tests.kube.computes import Computes
from tests.kube.control_plane import NO_CONTROL_PLANE, ControlPlane, kit
from tests.kube.operators import OperatorProcess
from tests.kube.served import Servers
from tests.left_out import left_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

SECONDS = 60.0

#: What Computes may ask for in these tests.
CONFIGURATION = """\
allow:
  labels: ["team", "course/*"]
  annotations: ["fake-kubelet/*", "note"]
  serviceAccountName: ["trainer"]
  nodeSelector: ["pool=gpu"]
  affinity: ["nodeAffinity"]
  tolerations: ["nvidia.com/gpu"]
  imagePullSecrets: ["pull-*"]
  volumes: ["emptyDir", "persistentVolumeClaim/datasets", "configMap/settings", "secret/open-*"]
  initContainers: ["skytorch/*"]
  containers: ["env", "volumeMounts"]
"""


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real API server with etcd, controllers, the CRD, and a node on which every pod gets Ready."""
    tools = kit()
    if tools is None:
        left_out(NO_CONTROL_PLANE)
    started = ControlPlane(tools, tmp_path_factory.mktemp("control-plane"))
    try:
        started.start_node()
        yield started
    finally:
        started.stop()


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[client.ApiClient]:
    """A client of the administrator's."""
    async with await config.new_client_from_config(str(control_plane.kubeconfig)) as opened:
        yield opened


@pytest.fixture
async def namespace(api: client.ApiClient) -> AsyncIterator[str]:
    """A namespace of this test's own; pods in it need no service account to be waited for."""
    core = client.CoreV1Api(api)
    name = f"test-{secrets.token_hex(4)}"
    await core.create_namespace({"metadata": {"name": name}})
    yield name
    await core.delete_namespace(name)


@pytest.fixture(scope="session")
def calls(control_plane: ControlPlane) -> Iterator[Calls]:
    """What operators ask of the API server."""
    proxy = Calls(control_plane.url, control_plane.folder / "pki/ca.crt")
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def operator_environment(
    control_plane: ControlPlane, calls: Calls, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What operators get: the account with the permissions of the manifests, and CONFIGURATION."""
    folder = tmp_path_factory.mktemp("operator")
    token = asyncio.run(people.install(control_plane))
    configuration = folder / "configuration.yaml"
    configuration.write_text(CONFIGURATION)
    return {
        "KUBECONFIG": str(control_plane.kubeconfig_for(folder / "kubeconfig", token, url=calls.url)),
        "POD_NAMESPACE": people.SYSTEM,
        "SKYTORCH_OPERATOR_CONFIG": str(configuration),
    }


@pytest.fixture(scope="session")
def operator(
    operator_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """The operator at work, for all namespaces."""
    log = tmp_path_factory.mktemp("operator-log") / "log"
    started = OperatorProcess(log, **operator_environment, POD_NAME="operator-1")
    started.start()
    try:
        started.wait_for_log("operator-1 leads")
        yield started
    finally:
        started.revive()
        assert started.stop() == 0, started.log
    assert "something went wrong" not in started.log, started.log


@pytest.fixture
def computes(api: client.ApiClient, namespace: str, operator: OperatorProcess) -> Computes:
    """The Computes of this test's namespace, and what the operator makes of them."""
    # A test that starts the API server anew may have ended it.
    operator.revive()
    return Computes(api, namespace)


async def _until(condition: Callable[[], Awaitable[Any]], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (value := await condition()):
        assert time.monotonic() < deadline, f"in {SECONDS:g} s it never came true that {what}"
        await asyncio.sleep(0.05)
    return value


@pytest.fixture
def until() -> Any:
    """Waits for what an async function without arguments returns to be true, and returns that."""
    return _until


@pytest.fixture
def user(control_plane: ControlPlane, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """This process is a user's, whose kubeconfig names the test's namespace."""
    with private_runtime() as runtime:
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
        monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig_of("admin", tmp_path / "kubeconfig", namespace)))
        process.forget()
        yield namespace
        for compute in jupyter_skytorch.computes().values():
            compute.close()
        process.forget()


@pytest.fixture
def servers(api: client.ApiClient, namespace: str, tmp_path: Path) -> Iterator[Servers]:
    """Real servers, to be started for Computes that are ready."""
    started = Servers(client.CoreV1Api(api), namespace, tmp_path)
    yield started
    started.stop()
