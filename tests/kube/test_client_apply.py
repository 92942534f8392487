"""What is applied, and what of it others keep: a Compute is said once or many times, and stays the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jupyter_skytorch import Compute, ConnectError

if TYPE_CHECKING:
    from tests.kube.computes import Computes

APPLY = "application/apply-patch+yaml"


async def apply(computes: Computes, manager: str, **fields: Any) -> None:
    """As another manager does, for example kubectl."""
    body = {"apiVersion": "compute.skytorch.dev/v1alpha1", "kind": "Compute", "metadata": {"name": "one"}, **fields}
    await computes.api.call_api(
        f"/apis/compute.skytorch.dev/v1alpha1/namespaces/{computes.namespace}/computes/one",
        "PATCH",
        query_params=[("fieldManager", manager), ("force", "true")],
        header_params={"Content-Type": APPLY},
        body=body,
        auth_settings=["BearerToken"],
    )


async def test_said_again_it_is_the_same(user: str, computes: Computes) -> None:
    said = {"image": "skytorch/server", "resources": {"cpu": "1"}, "env": {"A": "1"}, "volumes": {"data": "1Gi:/data"}}
    first = Compute("one", **said).resource
    again = Compute("one", **said).resource
    assert again["metadata"]["generation"] == first["metadata"]["generation"]
    assert again["metadata"]["uid"] == first["metadata"]["uid"]
    # Without an image it is whatever it is.
    assert Compute("one").resource["spec"] == first["spec"]
    assert first["spec"]["resources"] == {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    (volume,) = first["spec"]["volumeClaimTemplates"]
    assert (volume["mountPath"], volume["spec"]["resources"]["requests"]["storage"]) == ("/data", "1Gi")
    (managed,) = [each for each in first["metadata"]["managedFields"] if each["operation"] == "Apply"]
    assert managed["manager"] == "skytorch-python-client"


async def test_said_otherwise_it_changes(user: str, computes: Computes) -> None:
    Compute("one", image="skytorch/server", env={"A": "1", "B": "2"}, suspend_after=60)
    changed = Compute("one", image="skytorch/server:2", env={"B": "3"})
    spec = (await computes.get("one"))["spec"]
    assert (spec["image"], spec["env"]) == ("skytorch/server:2", [{"name": "B", "value": "3"}])
    assert spec["idleTimeoutSeconds"] == 3600  # as it is unless told
    await changed.ready()
    assert changed.resource["status"]["observedGeneration"] == changed.resource["metadata"]["generation"]


async def test_what_another_manager_says_stays_unless_it_is_said_here(user: str, computes: Computes) -> None:
    Compute("one", image="skytorch/server")
    theirs = {"image": "theirs", "idleTimeoutSeconds": 7, "env": [{"name": "THEIRS", "value": "1"}]}
    await apply(computes, "kubectl", spec=theirs)
    mine = Compute("one", image="mine", env={"MINE": "2"})
    spec = mine.resource["spec"]
    assert (spec["image"], spec["idleTimeoutSeconds"]) == ("mine", 7)
    assert spec["env"] == [{"name": "THEIRS", "value": "1"}, {"name": "MINE", "value": "2"}]


async def test_suspended_from_the_start(user: str, computes: Computes) -> None:
    compute = Compute("one", image="skytorch/server", suspend=True)
    assert compute.state == "suspended"
    with pytest.raises(ConnectError, match="one is suspended: resume it"):
        await compute.ready()
    await computes.condition("one", "Suspended")
    await compute.resume()
    await compute.ready()
    # What the operator suspends for want of use, whoever says it again resumes.
    await computes.change("one", suspend=True)
    assert Compute("one", image="skytorch/server").resource["spec"]["suspend"] is False


async def test_made_again_while_the_old_one_goes(user: str, computes: Computes) -> None:
    first = Compute("one", image="skytorch/server")
    await first.ready()
    uid = first.resource["metadata"]["uid"]
    await computes.delete("one")
    again = Compute("one", image="skytorch/server")
    assert again.resource["metadata"]["uid"] != uid
    await again.ready()


@pytest.mark.parametrize("name", ["", "Upper", "a_b", "-a", "a-", "1a", "a" * 53, "a.b", "a/b"])
def test_a_bad_name(user: str, name: str) -> None:
    with pytest.raises(ValueError, match="can't be the name of a Compute in Kubernetes"):
        Compute(name, image="skytorch/server")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"image": " "}, "image is the name"),
        ({"image": "x", "command": "python"}, "command is a list"),
        ({"image": "x", "env": {"A": 1}}, "env is a dict of strings, and 'A' is 1"),
        ({"image": "x", "resources": ["cpu"]}, "resources is a dict as"),
        ({"image": "x", "volumes": {"data": "1Gi:data"}}, "where it is mounted"),
        ({"image": "x", "port": 0}, "port is a number"),
        ({"image": "x", "suspend_after": -1}, "suspend_after is a number"),
        ({"image": "x", "namespace": "A"}, "can't be a namespace"),
        ({"env": {"A": "1"}}, "env is said without an image"),
    ],
)
def test_what_cannot_be_right_is_said_here(user: str, said: dict[str, Any], why: str) -> None:
    with pytest.raises((ValueError, TypeError), match=why):
        Compute("one", **said)
