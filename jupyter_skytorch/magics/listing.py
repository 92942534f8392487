"""What `%sky list` lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from jupyter_skytorch.compute import kubernetes, registry
from jupyter_skytorch.compute.channel import AddressError
from jupyter_skytorch.display.computes import Listed
from jupyter_skytorch.session import control

if TYPE_CHECKING:
    from jupyter_skytorch.compute.kubernetes.inventory import Found

    from .sky import SkyMagics

__all__ = ["listing"]

_SECONDS = 15.0
_UNASKED_SECONDS = 4.0
"""For a cluster that is configured here, and that nobody spoke of."""


def listing(namespace: str | None, *, everywhere: bool, magics: SkyMagics) -> tuple[list[Listed], str]:
    """This notebook's Computes, then the others of the cluster; and what kept those from being listed.

    Raises UsageError where they were asked for and can't be listed.
    """
    asked = everywhere or namespace is not None
    found, trouble = _in_cluster(namespace, everywhere, magics, asked=asked)
    if asked and trouble:
        raise UsageError(trouble)
    in_cluster = {(each.summary.namespace, each.summary.name): each for each in found}
    current = registry.current()
    listed = []
    for compute in registry.computes().values():
        provision = compute.provision
        known = in_cluster.pop((provision.namespace, provision.name), None) if provision is not None else None
        listed.append(
            Listed.of_compute(
                compute, known.summary if known else None, known.use if known else None, compute is current
            )
        )
    return [*listed, *(Listed.of_cluster(each.summary, each.use) for each in in_cluster.values())], trouble


def _in_cluster(namespace: str | None, everywhere: bool, magics: SkyMagics, *, asked: bool) -> tuple[list[Found], str]:
    try:
        kubernetes.require()
    except ImportError as error:
        return [], str(error) if asked else ""
    from jupyter_skytorch.compute.kubernetes import access, process
    from jupyter_skytorch.compute.kubernetes.errors import ApiError, KubernetesError
    from jupyter_skytorch.compute.kubernetes.inventory import inventory

    spoken_of = asked or process.in_use() or magics.provider == kubernetes.NAME
    if not spoken_of and not access.configured():
        return [], ""
    places = {
        (compute.provision.namespace, compute.provision.name): compute.place
        for compute in registry.computes().values()
        if compute.provision is not None and compute.state == "connected"
    }
    seconds = _SECONDS if spoken_of else _UNASKED_SECONDS
    try:
        call = inventory(namespace or magics.namespace or None, everywhere=everywhere, places=places)
        return control.get().run(call, seconds), ""
    except TimeoutError:
        return [], f"the cluster does not answer within {seconds:g} s"
    except AddressError as error:
        # Whoever runs the machine has switched clusters off: no news to somebody who didn't speak of one.
        return [], str(error) if asked else ""
    except ValueError as error:
        return [], str(error)
    except KubernetesError as error:
        # A cluster that has nothing to do with this may well be configured here.
        other = isinstance(error, ApiError) and error.status in {403, 404} and not spoken_of
        return [], "" if other else str(error)
