"""The Computes in Kubernetes that this notebook has to do with, connected or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from jupyter_skytorch.compute import Compute, kubernetes, registry
from jupyter_skytorch.compute.channel import AddressError
from jupyter_skytorch.compute.opening import one_line_errors
from jupyter_skytorch.compute.waiting import waiting
from jupyter_skytorch.session import control

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from jupyter_skytorch.compute.kubernetes.spec import Specification

    from .sky import SkyMagics

__all__ = ["done", "existing", "forget", "known", "made", "names", "resource"]

_ANSWER_SECONDS = 20.0
_CHANGE_SECONDS = 120.0
_NAMES_SECONDS = 1.5

_known: dict[str, Compute] = {}


def known(name: str, namespace: str | None = None) -> Compute | None:
    """The one of this notebook that has that name, if there is one."""
    compute = registry.computes().get(name) or _known.get(name)
    if compute is None or compute.provision is None or compute.provision.state == "deleted":
        return None
    return compute if namespace in {None, compute.provision.namespace} else None


def made(name: str, wanted: Specification) -> Compute:
    """Make it in the cluster, or change it, or without an image find it. Raises UsageError and ConnectError."""
    try:
        compute = Compute(name, **wanted)
    except (ImportError, TypeError, ValueError) as error:
        raise UsageError(str(error)) from None
    # The one that is connected has the session.
    if name not in registry.computes():
        _known[name] = compute
    return compute


def existing(name: str, namespace: str | None, magics: SkyMagics) -> Compute:
    """The one of that name, of this notebook or else of the cluster. Raises UsageError and ConnectError."""
    if (compute := known(name, namespace)) is not None:
        return compute
    other = registry.computes().get(name)
    if other is not None and other.provision is None:
        raise UsageError(f"{name} is at {other.address}, not in Kubernetes")
    namespace = namespace or magics.namespace or None
    if resource(name, namespace) is None:
        where = f" in the namespace {namespace!r}" if namespace else ""
        raise UsageError(
            f"there is no Compute {name!r}{where} in Kubernetes: %sky list --all-namespaces shows what there is"
        )
    return made(name, {"namespace": namespace} if namespace else {})


def done(call: Coroutine[Any, Any, None], what: str) -> None:
    """Do to one what takes a while, and show that. Raises ConnectError."""
    with one_line_errors(), waiting(what):
        control.get().run(call, _CHANGE_SECONDS)


def forget(name: str) -> None:
    """It was deleted."""
    _known.pop(name, None)


def resource(name: str, namespace: str | None) -> dict[str, Any] | None:
    """The one of that name as its cluster has it; None where there is none. Raises UsageError and ConnectError."""
    if (compute := known(name, namespace)) is not None:
        return compute.resource
    try:
        kubernetes.require()
    except ImportError as error:
        raise UsageError(str(error)) from None
    from jupyter_skytorch.compute.kubernetes.inventory import find

    try:
        with one_line_errors():
            return control.get().run(find(name, namespace), _ANSWER_SECONDS)
    except ValueError as error:
        raise UsageError(str(error)) from None


def names() -> list[str]:
    """The names of those that can be connected to, suspended or deleted; what the cluster has is among them."""
    here = {name for name in (*registry.computes(), *_known) if known(name) is not None}
    return sorted(here | _in_cluster())


def _in_cluster() -> set[str]:
    from jupyter_skytorch.compute.kubernetes.access import configured

    try:
        kubernetes.require()
    except ImportError:
        return set()
    from jupyter_skytorch.compute.kubernetes import process
    from jupyter_skytorch.compute.kubernetes.errors import KubernetesError
    from jupyter_skytorch.compute.kubernetes.inventory import inventory

    if not configured() and not process.in_use():
        return set()
    try:
        found = control.get().run(inventory(None, ask=False), _NAMES_SECONDS)
    except (AddressError, KubernetesError, TimeoutError):
        # Whoever asks for completions hears of no trouble.
        return set()
    return {each.summary.name for each in found}
