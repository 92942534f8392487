"""``skytorch-operator``: waits until Kubernetes knows Computes and until this process leads, and looks after them."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import kopf
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, ApiException

from skytorch_operator import election, policy, watching
from skytorch_operator.api import Api
from skytorch_operator.idle import Idleness
from skytorch_operator.keeper import Keepers
from skytorch_operator.reconcile import Reconciler

if TYPE_CHECKING:
    from skytorch_operator.policy import Configuration

#: While Computes aren't known yet.
RETRY = 2.0

logger = logging.getLogger("skytorch_operator")


def main() -> None:
    """
    Runs until it is told to stop; ends with status 1 when it leads no longer.

    SKYTORCH_OPERATOR_CONFIG names the configuration file, POD_NAME and POD_NAMESPACE whom the lease names and where it
    is; KUBECONFIG counts outside a cluster.
    """
    logging.basicConfig(
        level=os.environ.get("SKYTORCH_LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # It would tell of each event.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    path = os.environ.get("SKYTORCH_OPERATOR_CONFIG")
    try:
        configuration = policy.read(Path(path) if path else None)
        asyncio.run(_run(configuration))
    except (policy.ConfigurationError, config.ConfigException) as failure:
        sys.exit(f"skytorch-operator: {failure}")


async def _run(configuration: Configuration) -> None:
    try:
        config.load_incluster_config()
    except config.ConfigException:
        await config.load_kube_config()
    async with ApiClient() as client:
        api = Api(client)
        await _wait_for_computes(api)
        # A container that is started again in its pod is the same as before, and needn't wait for its own lease.
        identity = os.environ.get("POD_NAME") or f"{socket.gethostname()}-{secrets.token_hex(4)}"
        namespace = os.environ.get("POD_NAMESPACE", "default")

        async def work() -> None:
            logger.info("%s leads", identity)
            keepers = Keepers(Reconciler(api, configuration.allow, watching.tell), Idleness(api, watching.tell))
            await kopf.operator(
                registry=watching.registry(keepers),
                settings=watching.settings(),
                clusterwide=True,
                standalone=True,
                # Or kopf asks for the name of the user, and in a pod he has none.
                identity=cast("Any", identity),
            )

        logger.info("%s waits for its turn in %s", identity, namespace)
        if await election.lead(client, namespace, identity, work):
            return
        logger.error("the lease couldn't be renewed; this operator ends, so that another one can lead")
        logging.shutdown()
        # At once: nothing that is under way may go on while another one leads.
        os._exit(1)


async def _wait_for_computes(api: Api) -> None:
    while True:
        try:
            if await api.serves_computes():
                return
            logger.info("the cluster doesn't know Computes yet; the CRD is waited for")
        except (ApiException, aiohttp.ClientError, TimeoutError) as failure:
            logger.warning("the API server can't be asked yet: %s", " ".join(str(failure).split()))
        await asyncio.sleep(RETRY)


if __name__ == "__main__":
    main()
