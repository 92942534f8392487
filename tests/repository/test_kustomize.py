"""The kustomizations render to whole objects that fit together."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.left_out import left_out

DEPLOY = Path(__file__).parents[2] / "server/deploy"
FOLDERS = sorted(path.parent for path in DEPLOY.rglob("kustomization.yaml"))
#: The first whose kustomize takes folders as resources.
OLDEST = (1, 21)


@pytest.fixture(scope="module")
def kubectl() -> str:
    """A kubectl that can render them."""
    found = shutil.which("kubectl")
    if found is None:
        left_out("there is no kubectl here to render kustomizations with")
    said = subprocess.run([found, "version", "--client", "-o", "json"], capture_output=True, check=True, timeout=60)
    version = re.match(r"v(\d+)\.(\d+)", json.loads(said.stdout)["clientVersion"]["gitVersion"])
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        left_out("the kubectl here is older than 1.21, whose kustomize takes no folders")
    return found


def render(kubectl: str, folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return list(yaml.safe_load_all(done.stdout))


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(DEPLOY)))
def test_every_kustomization_renders_to_objects_of_different_names(kubectl: str, folder: Path) -> None:
    objects = render(kubectl, folder)
    keys = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    assert keys
    assert len(keys) == len(set(keys))


def test_a_hub_s_policies_let_users_servers_in_and_no_other_pods(kubectl: str) -> None:
    objects = render(kubectl, DEPLOY / "overlays/jupyterhub")
    assert {one["metadata"]["namespace"] for one in objects} == {"jupyterhub"}
    (account,) = named(objects, "RoleBinding", "skytorch-users")["subjects"]
    assert named(objects, account["kind"], account["name"])["metadata"]["namespace"] == account["namespace"]
    users, operator = named(objects, "NetworkPolicy", "skytorch-ingress")["spec"]["ingress"]
    assert {"podSelector": {"matchLabels": {"component": "singleuser-server"}}} in users["from"]
    assert {"podSelector": {}} not in users["from"]
    assert operator["from"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "skytorch-operator"}


def test_the_internet_is_opened_beside_what_is_open_anyway(kubectl: str) -> None:
    closed = {one["metadata"]["name"] for one in render(kubectl, DEPLOY / "namespace")}
    opened = {one["metadata"]["name"] for one in render(kubectl, DEPLOY / "overlays/internet")}
    assert opened - closed == {"skytorch-internet"}
    assert closed <= opened
