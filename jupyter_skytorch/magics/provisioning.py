"""Connecting to a Compute in Kubernetes: made or changed if need be, resumed, waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from jupyter_skytorch.compute import registry
from jupyter_skytorch.compute.opening import one_line_errors
from jupyter_skytorch.compute.terms import Terms
from jupyter_skytorch.device.errors import ConnectError
from jupyter_skytorch.display.text import tell

from . import provisioned, wanted

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute import Compute

    from .sky import SkyMagics

__all__ = ["connect", "terms_of", "wait_for"]

_READY_SECONDS = 300.0


def connect(name: str, options: argparse.Namespace, magics: SkyMagics) -> Compute:
    """Connect, as the flags of `%sky connect` and the settings say. Raises UsageError and ConnectError."""
    _refuse(options)
    terms = terms_of(magics, options.idle_timeout, options.max_age)
    # One of this notebook is the one that is meant, wherever new ones are made.
    namespace = options.namespace or (None if provisioned.known(name) else magics.namespace or None)
    compute = _declared(name, namespace, options, magics)
    return wait_for(compute, options.timeout, terms, magics)


def terms_of(magics: SkyMagics, idle_timeout: float | None = None, max_age: float | None = None) -> Terms:
    """What the session is asked to be. Raises ConnectError."""
    with one_line_errors():
        return Terms.of(idle_timeout or magics.idle_timeout or None, max_age or magics.max_age or None, None)


def _declared(name: str, namespace: str | None, options: argparse.Namespace, magics: SkyMagics) -> Compute:
    said = wanted.said(options)
    resource = provisioned.resource(name, namespace)
    if resource is not None and not said and options.host is None:
        return provisioned.existing(name, namespace, magics)
    asked = wanted.together(wanted.by_default(magics) if resource is None else wanted.standing(resource), said)
    if resource is None and "image" not in asked:
        where = f" in the namespace {namespace!r}" if namespace else ""
        raise UsageError(
            f"there is no Compute {name!r}{where}: give --image to make it, or set SkyMagics.image; "
            "%sky list --all-namespaces shows what there is"
        )
    if resource is not None and not said:
        asked = {}
    if namespace:
        asked["namespace"] = namespace
    if (host := options.host or _host(name, namespace)) is not None:
        asked["host"] = host
    return provisioned.made(name, asked)


def _host(name: str, namespace: str | None) -> str | None:
    """Where it was said before to be reached."""
    compute = provisioned.known(name, namespace)
    return compute.provision.wanted.get("host") if compute is not None and compute.provision is not None else None


def wait_for(compute: Compute, timeout: float | None, terms: Terms, magics: SkyMagics) -> Compute:
    """Resume it if need be, connect to it when it is ready, and make it the current one; if it can't be, it stays."""
    timeout = timeout or magics.timeout or _READY_SECONDS
    try:
        compute.connect(terms=terms, timeout=timeout, reconnect_timeout=magics.reconnect_timeout, resume=True)
    except KeyboardInterrupt:
        if compute.state not in {"connected", "deleted"}:
            tell(f"interrupted: {compute.name} stays in Kubernetes, and goes on getting ready; {_what_next(compute)}")
        raise
    except ConnectError as error:
        if compute.state == "deleted":
            raise
        raise ConnectError(f"{error}; {_what_next(compute)}") from None
    return registry.use(compute.name)


def _what_next(compute: Compute) -> str:
    return f"%sky connect {compute.name} waits on, %sky delete {compute.name} deletes it"


def _refuse(options: argparse.Namespace) -> None:
    flags = {
        "--name": options.name,
        "--token-file": options.token_file,
        "--ca": options.ca,
        "--cert": options.cert,
        "--key": options.key,
        "--insecure": options.insecure,
    }
    if given := next((flag for flag, value in flags.items() if value), None):
        raise UsageError(
            f"%sky connect: {given} does not go with a Compute in Kubernetes, whose credentials are found there"
        )
