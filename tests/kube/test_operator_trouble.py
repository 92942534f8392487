"""What keeps a Compute from being ready is said in its conditions, in words that help, and goes when it is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.kube.computes import Computes

WAITS = {"fake-kubelet/phase": "Pending"}


async def waiting(computes: Computes, until: Any, **spec: Any) -> None:
    """A Compute whose pod is on its node, and waits there to be told of."""
    await computes.create("gpu", annotations=WAITS, **spec)

    async def on_its_node() -> bool:
        pod = await computes.pod("gpu")
        return pod is not None and bool(pod["status"].get("containerStatuses"))

    await until(on_its_node, "the pod is on its node")


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "server", "image": "skytorch/server", "imageID": "", "ready": False, "restartCount": 0, **fields}


async def test_an_image_that_cannot_be_pulled(computes: Computes, until: Any) -> None:
    await waiting(computes, until)
    why = {"reason": "ErrImagePull", "message": "manifest unknown"}
    await computes.kubelet_says("gpu", containerStatuses=[container(state={"waiting": why})])
    degraded = await computes.condition("gpu", "Degraded", reason="ImagePull")
    assert degraded["message"] == "the image skytorch/server can't be pulled: manifest unknown"
    assert (await computes.condition("gpu", "Ready", "False", "ImagePull"))["message"] == degraded["message"]

    # Between two attempts the kubelet says only that it waits; that is no news.
    version = (await computes.get("gpu"))["metadata"]["resourceVersion"]
    backing_off = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    await computes.kubelet_says("gpu", containerStatuses=[container(state={"waiting": backing_off})])
    # A pod that is stuck is replaced all the same when the image is corrected.
    await computes.change("gpu", image="skytorch/server:2", annotations={"fake-kubelet/phase": "Running"})
    compute = await computes.ready("gpu")
    assert compute["metadata"]["resourceVersion"] != version
    assert ("Warning", "ImagePull") in await computes.events("gpu")
    (told,) = [event for event in await computes.events("gpu") if event[1] == "ImagePull"]
    assert told == ("Warning", "ImagePull")


async def test_a_server_that_ends_again_and_again(computes: Computes, until: Any) -> None:
    await waiting(computes, until)
    ended = {"exitCode": 1, "reason": "Error", "message": "no such file: weights.pt\n"}
    crashed = container(state={"running": {}}, lastState={"terminated": ended}, restartCount=3)
    await computes.kubelet_says("gpu", phase="Running", containerStatuses=[crashed])
    degraded = await computes.condition("gpu", "Degraded", reason="CrashLoop")
    assert degraded["message"] == (
        "the container server ended (exit code 1, Error) and is started again: no such file: weights.pt"
    )


async def test_a_crash_loop_as_the_node_of_these_tests_plays_it(computes: Computes) -> None:
    await computes.create("gpu", annotations={"fake-kubelet/phase": "CrashLoop"})
    degraded = await computes.condition("gpu", "Degraded", reason="CrashLoop")
    assert "ends again and again" in degraded["message"]
    await computes.change("gpu", annotations={"fake-kubelet/phase": "Running"})
    await computes.ready("gpu")
    await computes.condition("gpu", "Degraded", "False")


async def test_a_pod_that_no_node_takes(computes: Computes, until: Any) -> None:
    await waiting(computes, until, resources={"limits": {"nvidia.com/gpu": 8}})
    why = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    await computes.kubelet_says("gpu", conditions=[unscheduled])
    assert (await computes.condition("gpu", "Degraded", reason="Unschedulable"))["message"] == why


async def test_a_quota_that_is_exceeded_and_then_is_not(computes: Computes) -> None:
    await computes.allow_no_pods("small", computes.namespace)
    await computes.create("gpu")
    degraded = await computes.condition("gpu", "Degraded", reason="QuotaExceeded")
    assert "exceeded quota: small" in degraded["message"]
    await computes.core.delete_namespaced_resource_quota("small", computes.namespace)
    # Whether the StatefulSet is tried again soon is its controller's business; a change tries at once.
    await computes.change("gpu", image="skytorch/server:2")
    await computes.ready("gpu")
