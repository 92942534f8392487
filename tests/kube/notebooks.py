"""A notebook's pod on a real node: this tree's client, and this environment's packages, as they lie on this machine."""

from __future__ import annotations

import sysconfig
from typing import Any

from skytorch_wire import native
from tests.kube.image import PACKAGES, PYTHON, ROOT, SERVER


def notebook(program: str, account: str) -> dict[str, Any]:
    """The spec of a pod that runs `program` once, as a service account."""
    packages = sysconfig.get_path("purelib")
    cache = native.cache_folder()
    seen = [str(ROOT), packages, str(cache)]
    variables = {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}:{PACKAGES}:{packages}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(cache.parents[1]),
        "HOME": "/tmp",  # noqa: S108 - the container's own
    }
    return {
        "serviceAccountName": account,
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "notebook",
                "image": SERVER.name,
                "command": [PYTHON, "-c", program],
                "env": [{"name": name, "value": value} for name, value in variables.items()],
                # The files are this machine's administrator's.
                "securityContext": {"runAsUser": 0},
                "volumeMounts": [
                    {"name": f"seen-{number}", "mountPath": path, "readOnly": True} for number, path in enumerate(seen)
                ],
            }
        ],
        "volumes": [{"name": f"seen-{number}", "hostPath": {"path": path}} for number, path in enumerate(seen)],
    }
