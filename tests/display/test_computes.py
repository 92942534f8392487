"""How Computes of a cluster look in a list, and what is said while one is waited for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_skytorch.compute.kubernetes.inventory import Use
from jupyter_skytorch.compute.kubernetes.summary import Summary
from jupyter_skytorch.display.computes import Listed, computes_table, resources_text


def ago(**time: int) -> datetime:
    """A moment that is so long ago, and a little longer; read when it is shown, soon after."""
    return datetime.now(UTC) - timedelta(**time) - timedelta(seconds=5)


def resource(*, suspend: bool = False, ready: str = "True", **status: Any) -> dict[str, Any]:
    """As a cluster has it."""
    hour_ago = ago(hours=1).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"type": "Ready", "status": ready, "message": "the pod is being made", "lastTransitionTime": hour_ago}
    return {
        "metadata": {"name": "gpu", "namespace": "team", "generation": 2},
        "spec": {
            "image": "skytorch/server",
            "suspend": suspend,
            "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "4", "nvidia.com/gpu": "1", "memory": "16Gi"}},
        },
        "status": {"observedGeneration": 2, "conditions": [said], **status},
    }


def row(resource: dict[str, Any], use: Use | None = None) -> str:
    text = repr(computes_table([Listed.of_cluster(Summary.of(resource), use)]))
    header, line = text.splitlines()
    assert "namespace" in header
    return line


def test_what_a_server_tells_is_what_is_shown_orphans_among_it() -> None:
    use = Use(sessions=3, orphans=1, last_activity=ago(minutes=5), busy_seconds=75, held_bytes=2**30)
    line = row(resource(sessions=7), use)
    for said in (
        "gpu",
        "ready",
        "team",
        "4 CPU, 16Gi, 1 GPU",
        "1 h 0 min",
        "3 (1 orphan)",
        "5 min",
        "ago",
        "1 min 15 s",
        "1 GiB",
    ):
        assert said in line
    assert "7" not in line


def test_what_the_operator_saw_last_stands_in_for_it() -> None:
    seen = ago(hours=3).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = row(resource(suspend=True, sessions=0, lastActivityTime=seen))
    assert "suspended" in line
    assert "3 h 0 min ago" in line
    assert "1 h" not in line


def test_one_that_is_not_ready_says_why() -> None:
    assert "pending: the pod is being made" in row(resource(ready="False"))


def test_amounts_are_in_one_order_and_others_keep_their_names() -> None:
    assert (
        resources_text({"nvidia.com/gpu": "2", "amd.com/gpu": "1", "cpu": "500m"}) == "500m CPU, 2 GPU, 1 amd.com/gpu"
    )
