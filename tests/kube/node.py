"""A real node: containerd and a kubelet of these tests' own, which run pods on this machine, with an operator.

Needs root, and Debian's packages, which are unpacked into a folder and not installed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from typing import TYPE_CHECKING

from kubernetes_asyncio import client, config

from tests.kube.control_plane import SECONDS, ControlPlane
from tests.kube.image import OPERATOR, SERVER, write_image

if TYPE_CHECKING:
    from pathlib import Path

#: Where the kit's scripts have a node's kubelet listen; there is a bridge with that address while there is a node.
_KUBELET = ("10.244.0.1", 10250)


class RealNode(ControlPlane):
    """A control plane with a scheduler, and one node."""

    def __init__(self, tools: Path, folder: Path) -> None:
        super().__init__(tools, folder, "--scheduler")
        self._runtime = ""

    def start_node(self) -> None:
        self._runtime = self._run(self._tools / "node-runtime.sh").splitlines()[-1]
        images = []
        for image in (SERVER, OPERATOR):
            images.append(self.folder / f"{image.module}.tar")
            write_image(images[-1], image)
        binaries = self._run(self._tools / "unpack.sh").splitlines()[-1]
        pause = f"{self._runtime}/images/pause.tar"
        self._run(self._tools / "node-up.sh", binaries, self._runtime, self.folder, pause, *images)
        for path in images:
            path.unlink()
        asyncio.run(self._ready())

    def stop_node(self) -> None:
        self._run(self._tools / "node-down.sh", self.folder, self._runtime)

    def tell(self, pod: str, host: str, address: str) -> None:
        """Has the pod of that uid know a host, as the cluster's DNS would tell it: there is none here."""
        with (self.folder / f"node/kubelet/pods/{pod}/etc-hosts").open("a") as hosts:
            hosts.write(f"{address}\t{host}\n")

    def was_killed(self, container: str) -> bool:
        """Whether a container that was told to end hadn't done so by the end of its grace period; containerd knows."""
        log = (self.folder / "node/log/containerd.log").read_text()
        told = f'Stop container \\"{container}\\" with signal terminated'
        assert told in log, f"{container} was never told to end:\n{log[-5000:]}"
        return f"{told} timed out" in log or f'Kill container \\"{container}' in log

    async def _ready(self) -> None:
        deadline = time.monotonic() + SECONDS
        async with await config.new_client_from_config(str(self.kubeconfig)) as api:
            while True:
                nodes = (await client.CoreV1Api(api).list_node()).items
                conditions = [one for node in nodes for one in node.status.conditions or () if one.type == "Ready"]
                if any(one.status == "True" for one in conditions):
                    return
                log = self.folder / "node/log/kubelet.log"
                assert time.monotonic() < deadline, f"the node doesn't get ready:\n{log.read_text()[-5000:]}"
                await asyncio.sleep(0.2)


def unfit() -> str:
    """Why no node can be had here; empty where one can."""
    if os.geteuid() != 0:
        return "a node needs root"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(_KUBELET)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"this machine has a node already: its kubelet listens at {_KUBELET[0]}:{_KUBELET[1]}"
    return ""
