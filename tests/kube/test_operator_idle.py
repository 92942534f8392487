"""A Compute is suspended by what its own server says: real servers, at the addresses of pods that don't run them."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kube.computes import Computes
    from tests.kube.operators import OperatorProcess

SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def server(folder: Path, port: int, secret: Any) -> Iterator[None]:
    """The server that the pod would run, with the credentials of a Compute, until the block ends."""
    folder.mkdir()
    for part, value in secret.data.items():
        (folder / part).write_bytes(base64.b64decode(value))
        (folder / part).chmod(0o600)
    environment = {
        "SKYTORCH_HOST": "127.0.0.1",
        "SKYTORCH_PORT": str(port),
        "SKYTORCH_TOKEN_FILE": str(folder / "token"),
        "SKYTORCH_TLS_CERT": str(folder / "tls.crt"),
        "SKYTORCH_TLS_KEY": str(folder / "tls.key"),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "skytorch_server"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(SECONDS)


async def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


async def runs_here(computes: Computes, until: Any, name: str, port: int) -> None:
    """The pod's kubelet says that it runs on this machine, as soon as something listens here."""
    await until(partial(listens, port), "the server listens")
    here = {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
    ready = [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")]
    await computes.kubelet_says(name, phase="Running", conditions=ready, containerStatuses=[], **here)


async def waiting(computes: Computes, until: Any, name: str, **spec: Any) -> Any:
    """A Compute whose pod waits to be told of; its Secret."""
    await computes.create(name, annotations={"fake-kubelet/phase": "Pending"}, **spec)

    async def on_its_node() -> bool:
        pod = await computes.pod(name)
        return pod is not None and bool(pod["status"].get("containerStatuses"))

    await until(on_its_node, "the pod is on its node")
    return await computes.core.read_namespaced_secret(name, computes.namespace)


@pytest.mark.parametrize("limit", [1, 3600])
async def test_a_server_that_nobody_used_for_too_long_is_suspended_and_no_other(
    computes: Computes, until: Any, tmp_path: Path, limit: int
) -> None:
    port = free_port()
    secret = await waiting(computes, until, "gpu", port=port, idleTimeoutSeconds=limit)
    with server(tmp_path / "server", port, secret):
        # The operator asks once a minute; the first time, the server is to have been idle for that second.
        await until(partial(listens, port), "the server listens")
        await asyncio.sleep(1)
        await runs_here(computes, until, "gpu", port)

        async def asked() -> bool:
            return "lastActivityTime" in (await computes.get("gpu")).get("status", {})

        await until(asked, "the server was asked")
        assert (await computes.get("gpu"))["status"]["sessions"] == 0
        if limit == 1:
            await computes.condition("gpu", "Suspended")
            assert (await computes.get("gpu"))["spec"]["suspend"] is True
            assert ("Normal", "Idle") in await computes.events("gpu")
        else:
            await computes.ready("gpu")
            assert (await computes.get("gpu"))["spec"]["suspend"] is False


async def test_a_server_that_cannot_prove_to_be_the_computes_own_gets_no_token_and_is_not_believed(
    computes: Computes, until: Any, tmp_path: Path, operator: OperatorProcess
) -> None:
    port = free_port()
    other = await waiting(computes, until, "other", port=port)
    await waiting(computes, until, "gpu", port=port, idleTimeoutSeconds=1)
    with server(tmp_path / "server", port, other):
        await runs_here(computes, until, "gpu", port)
        where = f"{computes.namespace}/gpu can't be asked"

        async def told() -> bool:
            return where in operator.log

        await until(told, "the operator said so")
        compute = await computes.ready("gpu")
        assert "lastActivityTime" not in compute["status"]
        assert compute["spec"]["suspend"] is False
        # Not even a wrong token came, let alone the right one.
        assert "unauthenticated" not in (tmp_path / "server/log").read_text().lower()
