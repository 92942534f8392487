"""
What many Computes at once cost: ``python -m tests.kube.crowd``.

A real control plane, a node that only says that its pods run, and one operator. How long until all Computes are Ready
that are created at once; how long one takes beyond what its kubelet does; what is written while nothing happens.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kubernetes_asyncio import client, config, watch

from tests.kube import people
from tests.kube.calls import Calls
from tests.kube.computes import Computes
from tests.kube.control_plane import NO_CONTROL_PLANE, ControlPlane, kit
from tests.kube.operators import OperatorProcess

NAMESPACE = "crowd"
SECONDS = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--computes", type=int, default=100, help="created at once")
    parser.add_argument("--single", type=int, default=20, help="created one after the other")
    parser.add_argument("--quiet", type=float, default=120.0, help="seconds that are counted while nothing happens")
    chosen = parser.parse_args()
    tools = kit()
    if tools is None:
        parser.exit(1, f"{NO_CONTROL_PLANE}\n")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crowd-")))
        control_plane = ControlPlane(tools, folder / "control-plane")
        stack.callback(control_plane.stop)
        control_plane.start_node()
        calls = Calls(control_plane.url, control_plane.folder / "pki/ca.crt")
        stack.callback(calls.close)
        asyncio.run(_measure(chosen, control_plane, calls, folder, stack))


async def _measure(
    chosen: argparse.Namespace, control_plane: ControlPlane, calls: Calls, folder: Path, stack: ExitStack
) -> None:
    token = await people.install(control_plane)

    def operator(url: str) -> OperatorProcess:
        kubeconfig = control_plane.kubeconfig_for(folder / f"kubeconfig-{bool(url)}", token, url=url)
        started = OperatorProcess(
            folder / "operator.log", KUBECONFIG=str(kubeconfig), POD_NAMESPACE=people.SYSTEM, POD_NAME="crowd"
        )
        started.start()
        stack.callback(started.stop)
        started.wait_for_log("crowd leads")
        return started

    async with await config.new_client_from_config(str(control_plane.kubeconfig)) as api:
        await client.CoreV1Api(api).create_namespace({"metadata": {"name": NAMESPACE}})
        computes = Computes(api, NAMESPACE)
        direct = operator("")
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
        added = [await _single(computes, f"single-{number}") for number in range(chosen.single)]
        print(
            f"from creation to Ready, beyond the kubelet: "
            f"median {statistics.median(added):.3f} s, most {max(added):.3f} s"
        )
        print(f"{chosen.computes} Computes at once, all Ready: {await _crowd(computes, chosen.computes):.1f} s")
        direct.stop()
        operator(calls.url)
        await _settled(calls)
        before = len(calls.made)
        await asyncio.sleep(chosen.quiet)
        made = calls.made[before:]
        there = len(await computes.all())
        writes = Counter(call.path.rsplit("/", 2)[-2] for call in made if call.writes)
        lease = writes.pop("leases", 0)
        minutes = chosen.quiet / 60
        print(
            f"in {chosen.quiet:g} s with {there} Computes and nothing going on: "
            f"{sum(writes.values()) / there / minutes:.3f} writes per Compute and minute, "
            f"{sum(not call.writes for call in made) / there / minutes:.3f} reads, "
            f"and the lease {lease / minutes:.1f} times a minute"
        )


async def _single(computes: Computes, name: str) -> float:
    """Seconds from a Compute's creation to Ready, less those from its pod's creation to the pod's being ready."""
    seen: dict[str, float] = {}

    async def pods() -> None:
        async with watch.Watch().stream(computes.core.list_namespaced_pod, computes.namespace) as events:
            async for event in events:
                pod = event["raw_object"]
                if pod["metadata"]["name"] == f"{name}-0":
                    seen.setdefault("made", time.monotonic())
                    if _is_true(pod, "Ready"):
                        seen.setdefault("runs", time.monotonic())
                        return

    async def compute() -> None:
        async with watch.Watch().stream(
            computes.list, resource_version="0", field_selector=f"metadata.name={name}"
        ) as events:
            async for event in events:
                if _is_true(event["raw_object"], "Ready"):
                    seen["ready"] = time.monotonic()
                    return

    watching = asyncio.create_task(pods())
    begun = time.monotonic()
    await computes.create(name)
    await asyncio.wait_for(asyncio.gather(watching, compute()), SECONDS)
    return (seen["ready"] - begun) - (seen["runs"] - seen["made"])


async def _crowd(computes: Computes, count: int) -> float:
    begun = time.monotonic()
    await asyncio.gather(*(computes.create(f"crowd-{number}") for number in range(count)))
    while True:
        ready = sum(
            _is_true(one, "Ready") for one in await computes.all() if one["metadata"]["name"].startswith("crowd")
        )
        if ready == count:
            return time.monotonic() - begun
        assert time.monotonic() < begun + SECONDS, f"only {ready} of {count} are Ready"
        await asyncio.sleep(0.1)


async def _settled(calls: Calls) -> None:
    """Waits until nothing but the lease is written for 5 seconds."""
    before = -1
    while before != (now := sum(call.writes and "leases" not in call.path for call in calls.made)):
        before = now
        await asyncio.sleep(5)


def _is_true(found: Any, kind: str) -> bool:
    conditions = found.get("status", {}).get("conditions") or ()
    return any((one["type"], one["status"]) == (kind, "True") for one in conditions)


if __name__ == "__main__":
    main()
