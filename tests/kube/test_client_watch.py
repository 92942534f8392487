"""A Compute is followed through whatever ends a watch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from jupyter_skytorch import Compute
from jupyter_skytorch.compute.kubernetes import process
from jupyter_skytorch.compute.kubernetes.api import Api, computes_path
from jupyter_skytorch.compute.kubernetes.errors import GoneError, KubernetesError
from jupyter_skytorch.compute.kubernetes.following import follow
from jupyter_skytorch.session import control
from tests.kube.calls import Calls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kube.computes import Computes
    from tests.kube.control_plane import ControlPlane

SECONDS = 30.0
MERGE = "application/merge-patch+json"


def run(coroutine: Any) -> Any:
    return control.get().run(coroutine, SECONDS)


async def test_an_old_version_is_gone_and_there_is_a_new_list(user: str, computes: Computes) -> None:
    """The API server answers 410 to what its watch cache no longer has."""
    again = asyncio.Event()

    class Outdated(Api):
        """Believes for once that the list is as old as the cluster."""

        lists = 0

        async def call(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            answer = await super().call(*args, **kwargs)
            self.lists += 1
            if self.lists == 2:
                again.set()
            if self.lists == 1:
                answer["metadata"]["resourceVersion"] = "1"
            return answer

    async def refused(api: Api) -> None:
        events = api.watch(computes_path(user), "watch", {"resourceVersion": "1"})
        with pytest.raises(GoneError):
            await anext(events)

    async def told() -> tuple[int, list[Any]]:
        api = Outdated((await process.api()).access, None)
        await refused(api)
        seen: list[Any] = []
        there = asyncio.Event()

        def changed(kind: str, thing: dict[str, Any]) -> None:
            seen.append((kind, thing["metadata"]["name"]))
            there.set()

        following = asyncio.ensure_future(
            follow(
                api,
                computes_path(user),
                "watch Computes",
                {},
                found=lambda found: seen.append([each["metadata"]["name"] for each in found]),
                changed=changed,
                trouble=lambda _: None,
            )
        )
        await again.wait()
        await api.call("PATCH", computes_path(user, "one"), "suspend", body={"spec": {"suspend": True}}, content=MERGE)
        await there.wait()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await api.close()
        return api.lists, seen

    await computes.create("one")
    lists, seen = await asyncio.to_thread(run, told())
    assert lists == 3
    assert seen[:2] == [["one"], ["one"]]
    assert ("MODIFIED", "one") in seen


async def test_what_happens_while_the_api_server_is_away_is_seen_afterwards(
    user: str, computes: Computes, control_plane: ControlPlane, tmp_path: Path
) -> None:
    between = Calls(control_plane.url, control_plane.folder / "pki/ca.crt")
    try:
        path = tmp_path / "kubeconfig"
        token = yaml.safe_load(path.read_text())["users"][0]["user"]["token"]
        control_plane.kubeconfig_for(path, token, namespace=user, url=between.url)
        compute = Compute("one", image="skytorch/server", annotations={"fake-kubelet/phase": "Pending"})
        waiting = asyncio.ensure_future(compute.ready())
        await computes.condition("one", "Ready", "False")
        between.cut()
        await computes.change("one", annotations={"fake-kubelet/phase": "Running"})
        await computes.ready("one")
        assert not waiting.done()
        between.mend()
        await waiting
        assert compute.is_ready()
    finally:
        process.forget()
        between.close()


async def test_what_cannot_be_watched_is_told(user: str) -> None:
    troubles: list[KubernetesError | None] = []

    async def told() -> None:
        api = await process.api()
        there = asyncio.Event()

        def trouble(error: KubernetesError | None) -> None:
            troubles.append(error)
            there.set()

        nothing: Any = lambda *_: None  # noqa: E731
        path = "/apis/nowhere.skytorch.dev/v1/computes"
        following = asyncio.ensure_future(
            follow(api, path, "watch", {}, found=nothing, changed=nothing, trouble=trouble)
        )
        await there.wait()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    await asyncio.to_thread(run, told())
    assert "knows no Computes" in str(troubles[0])
