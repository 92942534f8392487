"""``skytorch-operator``: waits until Kubernetes knows Computes and until this process leads, and looks after them."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
from pathlib import Path

import kopf
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

from skytorch_operator import election, watching
from skytorch_operator.api import Api
from skytorch_operator.keeper import Keepers
from skytorch_operator.reconcile import Reconciler

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
#: While Computes aren't known yet.
RETRY = 2.0

logger = logging.getLogger("skytorch_operator")


def main() -> None:
    """Runs until it is told to stop, or another operator leads; the status tells which."""
    logging.basicConfig(
        level=os.environ.get("SKYTORCH_LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # It would tell of each event.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    sys.exit(asyncio.run(_run()))


def _own_namespace() -> str:
    """Where this pod is; empty outside a cluster."""
    return NAMESPACE_FILE.read_text(encoding="utf-8").strip() if NAMESPACE_FILE.exists() else ""


async def _run() -> int:
    namespace = _own_namespace()
    if namespace:
        config.load_incluster_config()
    else:
        await config.load_kube_config()
    async with ApiClient() as client:
        api = Api(client)
        while not await api.serves_computes():
            logger.info("the cluster doesn't know Computes yet; the CRD is waited for")
            await asyncio.sleep(RETRY)
        identity = f"{socket.gethostname()}-{secrets.token_hex(4)}"

        async def work() -> None:
            logger.info("%s leads", identity)
            keepers = Keepers(Reconciler(api, watching.tell))
            await kopf.operator(
                registry=watching.registry(keepers), settings=watching.settings(), clusterwide=True, standalone=True
            )

        logger.info("%s waits for its turn at %s", identity, Configuration.get_default_copy().host)
        if await election.lead(client, namespace or "default", identity, work):
            return 0
        logger.error("the lease was lost; another operator leads")
        return 1


if __name__ == "__main__":
    main()
