"""The cluster that this process uses: said once by :func:`init`, or found when the first Compute is made."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from jupyter_skytorch.compute.providers import check_allowed

from . import NAME, access
from .api import Api
from .way import Reach

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kubernetes_asyncio.client import Configuration

__all__ = ["api", "close", "forget", "in_use", "init", "looking", "reach"]

_CLOSE_SECONDS = 1.0


class _Process:
    """What was said, and what came of it."""

    def __init__(self) -> None:
        self.given: Configuration | None = None
        self.namespace: str | None = None
        self.settled = False
        self.api: Api | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.reaches: dict[tuple[str, str, str | None], Reach] = {}
        self.turn = asyncio.Lock()


_process = _Process()


def init(client_config: Configuration | None = None, namespace: str | None = None) -> None:
    """Say which cluster Computes are made in, and in which namespace; once, before the first of them.

    `client_config` is a ``kubernetes_asyncio.client.Configuration``. Without it: the current context of the kubeconfig
    (``KUBECONFIG``, else ``~/.kube/config``), or in a pod its service account. Without `namespace`: that of the
    context, or of the service account, else "default". Computes that are made without this use these as well.

    Raises RuntimeError when it was called before or a Compute was made already, TypeError or ValueError for what is no
    configuration and no namespace.
    """
    from kubernetes_asyncio.client import Configuration

    if client_config is not None and not isinstance(client_config, Configuration):
        raise TypeError("client_config is a kubernetes_asyncio.client.Configuration")
    if namespace is not None:
        access.check_namespace(namespace)
    if _process.settled:
        raise RuntimeError(
            "init() comes once, before the first Compute of the process: restart the kernel to change it"
        )
    _process.given, _process.namespace, _process.settled = client_config, namespace, True


async def api() -> Api:
    """The process's; all its calls come from one loop, in a kernel the control thread's. Raises KubernetesError."""
    async with _process.turn:
        if _process.api is None:
            found = await access.load(_process.given, _process.namespace)
            _process.api = Api(found, _process.given)
            _process.loop = asyncio.get_running_loop()
            # After the control thread's own has been registered, so that this one runs before it.
            atexit.register(_close, os.getpid())
        _process.settled = True
        return _process.api


def reach(used: Api, name: str, namespace: str, host: str | None = None) -> Reach:
    """How a Compute is reached, which is the same for all that want to."""
    return _process.reaches.setdefault((namespace, name, host), Reach(used, name, namespace, host))


@asynccontextmanager
async def looking() -> AsyncIterator[Api]:
    """The cluster, to look at only: :func:`init` may still come afterwards.

    Raises KubernetesError, and AddressError where clusters are switched off here.
    """
    check_allowed(NAME)
    if _process.settled:
        yield await api()
        return
    found = await access.load(None, None)
    opened = Api(found, None)
    try:
        yield opened
    finally:
        await opened.close()


def in_use() -> bool:
    """Whether this process has said which cluster it uses, or uses it."""
    return _process.settled


async def close() -> None:
    """Close what there is of connections; on the loop that they were made on."""
    for each in _process.reaches.values():
        await each.close()
    if _process.api is not None:
        await _process.api.close()


def forget() -> None:
    """Close what there is, and begin anew."""
    global _process  # noqa: PLW0603
    _close(os.getpid())
    _process = _Process()


def _close(pid: int) -> None:
    loop = _process.loop
    if loop is not None and loop.is_running() and os.getpid() == pid:
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(close(), loop).result(_CLOSE_SECONDS)


def _forget_in_child() -> None:
    global _process  # noqa: PLW0603
    _inherited.append(_process)
    _process = _Process()


_inherited: list[_Process] = []
os.register_at_fork(after_in_child=_forget_in_child)
