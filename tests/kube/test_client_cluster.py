"""Several Computes handled together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jupyter_skytorch import Cluster, Compute, ConnectError

if TYPE_CHECKING:
    from tests.kube.computes import Computes


def made(count: int, **said: object) -> list[Compute]:
    return [Compute(f"c{index}", image="skytorch/server", **said) for index in range(count)]


async def test_all_get_ready_and_all_go(user: str, computes: Computes) -> None:
    async with Cluster(*made(3)) as cluster:
        assert cluster.is_ready()
        assert len(cluster) == 3
        first, *rest = cluster
        assert [first.name, *(each.name for each in rest)] == ["c0", "c1", "c2"]
        assert cluster[0] is first
        assert list(cluster[1:]) == rest
        assert repr(cluster) == "Cluster(c0, c1, c2)"
    assert await computes.all() == []
    assert not cluster.is_ready()


async def test_failures_are_told_together(user: str, computes: Computes) -> None:
    cluster = Cluster(*made(1), *(Compute(f"s{index}", image="skytorch/server", suspend=True) for index in range(2)))
    with pytest.raises(ExceptionGroup, match="not all are ready") as caught:
        await cluster.ready()
    assert caught.group_contains(ConnectError, match="s0 is suspended")
    assert caught.group_contains(ConnectError, match="s1 is suspended")
    assert len(caught.value.exceptions) == 2
    assert cluster[0].is_ready()
    assert not cluster.is_ready()
    await cluster.delete()
    assert await computes.all() == []
