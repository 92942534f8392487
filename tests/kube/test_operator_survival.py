"""Whatever happens to operators and the API server, Computes end as they are wanted, and nobody is asked too often."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_asyncio import client

from tests.kube.operators import OperatorProcess
from tests.kube.people import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kube.calls import Call, Calls
    from tests.kube.computes import Computes
    from tests.kube.control_plane import ControlPlane

#: Nothing may happen for so long.
QUIET = 3.0


@pytest.fixture
def second(operator_environment: dict[str, str], tmp_path: Path) -> Iterator[OperatorProcess]:
    """Another operator, not started yet."""
    another = OperatorProcess(tmp_path / "log", **operator_environment, POD_NAME="operator-2")
    yield another
    another.stop()


async def leader(api: client.ApiClient) -> str:
    lease = await client.CoordinationV1Api(api).read_namespaced_lease("skytorch-operator", SYSTEM)
    return lease.spec.holder_identity or ""


async def until_quiet(calls: Calls, namespace: str) -> list[Call]:
    """All that was asked about a namespace, once nothing more is."""
    async with asyncio.timeout(30):
        before = -1
        while before != len(calls.of(namespace)):
            before = len(calls.of(namespace))
            await asyncio.sleep(QUIET)
    return calls.of(namespace)


async def test_calls_are_bounded_while_a_compute_gets_ready_and_none_are_made_once_it_is(
    computes: Computes, calls: Calls
) -> None:
    await computes.create("gpu")
    await computes.ready("gpu")

    made = await until_quiet(calls, computes.namespace)
    writes = Counter(
        (call.method, call.path.split("/")[-1 if call.method == "POST" else -2]) for call in made if call.writes
    )
    # The three objects, once each; what was seen of the pod and said in the status; as many events of it.
    assert {what: writes.pop(("POST", what)) for what in ("secrets", "services", "statefulsets")} == {
        "secrets": 1,
        "services": 1,
        "statefulsets": 1,
    }
    assert writes.pop(("PATCH", "gpu")) <= 4
    assert writes.pop(("POST", "events")) <= 3
    assert writes == {}
    assert len([call for call in made if not call.writes]) <= 40


async def test_one_that_is_refused_is_not_asked_for_again_and_again(computes: Computes, calls: Calls) -> None:
    await computes.create("gpu", labels={"not-allowed": "1"})
    await computes.condition("gpu", "Degraded", reason="NotAllowed")
    made = await until_quiet(calls, computes.namespace)
    assert len([call for call in made if call.writes]) <= 6
    assert len(made) <= 30


async def test_an_operator_that_is_killed_goes_on_where_it_was(computes: Computes, operator: OperatorProcess) -> None:
    names = [f"gpu-{number}" for number in range(5)]
    await asyncio.gather(*(computes.create(name) for name in names))
    await computes.ready(names[0])
    operator.kill()
    await computes.change(names[0], suspend=True)
    await computes.create("late")
    await computes.delete(names[1])
    operator.start()
    await computes.condition(names[0], "Suspended")
    for name in (*names[2:], "late"):
        await computes.ready(name)


async def test_of_two_operators_one_works_and_the_other_takes_over(
    computes: Computes, operator: OperatorProcess, second: OperatorProcess, until: Any
) -> None:
    second.start()
    await asyncio.to_thread(second.wait_for_log, "operator-2 waits for its turn")
    await computes.create("gpu")
    await computes.ready("gpu")
    assert await leader(computes.api) == "operator-1"
    assert "operator-2 leads" not in second.log

    assert await asyncio.to_thread(operator.stop) == 0
    await asyncio.to_thread(second.wait_for_log, "operator-2 leads")
    await computes.change("gpu", suspend=True)
    await computes.condition("gpu", "Suspended")

    operator.start()
    await asyncio.to_thread(operator.wait_for_log, "operator-1 waits for its turn")
    assert await asyncio.to_thread(second.stop) == 0
    await asyncio.to_thread(operator.wait_for_log, "operator-1 leads")
    await computes.change("gpu", suspend=False)
    await computes.ready("gpu")


async def test_what_happened_while_nobody_watched_is_found_though_the_watches_cannot_go_on(
    computes: Computes, calls: Calls, until: Any
) -> None:
    await computes.create("gpu")
    await computes.ready("gpu")
    calls.gone.clear()
    calls.cut()
    try:
        await computes.change("gpu", suspend=True)
        await computes.create("missed")
    finally:
        calls.mend(outdated=True)
    await computes.condition("gpu", "Suspended")
    await computes.ready("missed")

    async def told() -> list[str]:
        return calls.gone

    await until(told, "the API server told a watch 410")


async def test_an_api_server_that_starts_anew_finds_an_operator_that_goes_on(
    computes: Computes, operator: OperatorProcess, control_plane: ControlPlane, until: Any
) -> None:
    await computes.create("gpu")
    await computes.ready("gpu")
    await asyncio.to_thread(control_plane.restart_api_server)
    await computes.change("gpu", suspend=True)
    await computes.create("later")

    async def done() -> bool:
        # It may have lost its lease meanwhile, and is started again, as Kubernetes would.
        operator.revive()
        return await holds("gpu", "Suspended") and await holds("later", "Ready")

    async def holds(name: str, kind: str) -> bool:
        conditions = (await computes.get(name)).get("status", {}).get("conditions", ())
        return any((one["type"], one["status"]) == (kind, "True") for one in conditions)

    await until(done, "what is wanted now is done")
