"""Which cluster and which namespace is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from kubernetes_asyncio import client, config

from jupyter_skytorch import Compute, ConnectError, init
from jupyter_skytorch.compute.kubernetes import access, process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kube.control_plane import ControlPlane


def change_context(tmp_path: Path, **fields: str | None) -> None:
    content = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    context = content["contexts"][0]["context"]
    for key, value in fields.items():
        context.pop(key) if value is None else context.update({key: value})
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))


def namespace_of(compute: Compute) -> str:
    return compute.resource["metadata"]["namespace"]


def test_without_it_the_context_tells(user: str) -> None:
    assert namespace_of(Compute("one", image="x")) == user


def test_a_namespace_goes_before_that_of_the_context(user: str, tmp_path: Path) -> None:
    change_context(tmp_path, namespace="nowhere")
    init(namespace=user)
    assert namespace_of(Compute("one", image="x")) == user


def test_a_computes_own_goes_before_all(user: str) -> None:
    init(namespace="nowhere")
    assert namespace_of(Compute("one", image="x", namespace=user)) == user


async def test_the_service_accounts_comes_after_the_context(
    user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_SERVICE_ACCOUNT", tmp_path)
    (tmp_path / "namespace").write_text("the-pods\n")
    assert (await access.load(None, None)).namespace == user
    change_context(tmp_path, namespace=None)
    assert (await access.load(None, None)).namespace == "the-pods"
    (tmp_path / "namespace").unlink()
    assert (await access.load(None, None)).namespace == "default"
    assert (await access.load(None, "said")).namespace == "said"


async def test_in_a_pod(
    user: str, control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    content = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    host, port = control_plane.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    (tmp_path / "token").write_text(content["users"][0]["user"]["token"])
    (tmp_path / "namespace").write_text(user)
    folder = "kubernetes_asyncio.config.incluster_config"
    monkeypatch.setattr(f"{folder}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{folder}.SERVICE_CERT_FILENAME", content["clusters"][0]["cluster"]["certificate-authority"])
    monkeypatch.setattr(access, "_SERVICE_ACCOUNT", tmp_path)
    compute = Compute("one", image="x")
    assert namespace_of(compute) == user
    # Inside, its name in the cluster is where it is; nothing is forwarded.
    assert compute.provision._reach._api.access.in_cluster


async def test_a_configuration_of_ones_own(user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = client.Configuration()
    await config.load_kube_config(str(tmp_path / "kubeconfig"), client_configuration=mine)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    init(mine, user)
    assert namespace_of(Compute("one", image="x")) == user


def test_it_comes_once_and_first(user: str) -> None:
    init(namespace=user)
    with pytest.raises(RuntimeError, match="once, before the first Compute"):
        init(namespace=user)
    process.forget()
    Compute("one", image="x")
    with pytest.raises(RuntimeError, match="restart the kernel"):
        init()


def test_what_is_no_configuration(user: str) -> None:
    with pytest.raises(TypeError, match=r"kubernetes_asyncio\.client\.Configuration"):
        init({"host": "https://somewhere"})
    with pytest.raises(ValueError, match="can't be a namespace"):
        init(namespace="A_B")
    # Neither counts.
    init(namespace=user)


def test_one_that_names_nothing(user: str) -> None:
    init(client.Configuration(host="http://127.0.0.1:1"), user)
    with pytest.raises(ConnectError, match=r"no cluster at http://127.0.0.1:1.*client_config that init"):
        Compute("one", image="x")
