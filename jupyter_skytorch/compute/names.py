"""What a Compute may be called, and what a target may look like."""

from __future__ import annotations

import re

from . import address, kubernetes, local, registry
from .channel import AddressError
from .suggestion import did_you_mean

__all__ = ["PROVIDERS", "check_name", "check_provider", "check_target"]

PROVIDERS = (local.NAME, address.NAME, kubernetes.NAME)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def check_name(name: str) -> str:
    """Return the name if a Compute can be called that. Raises AddressError."""
    if not _NAME.fullmatch(name):
        raise AddressError(f"{name[:80]!r} cannot be a name: letters, digits, '_', '-' and '.', at most 64")
    return name


def check_provider(provider: str | None, target: str | None) -> None:
    """Check that a provider is known and that the target is one of its. Raises AddressError."""
    if provider is None:
        return
    if provider not in PROVIDERS:
        raise AddressError(
            f"there is no provider {provider!r}: {', '.join(PROVIDERS)} are known{did_you_mean(provider, PROVIDERS)}"
        )
    if provider == kubernetes.NAME:
        if target is None:
            raise AddressError("a Compute in Kubernetes needs a name: %sky connect NAME --provider kubernetes")
        return
    if (provider == local.NAME) != (target is None or target == local.NAME):
        raise AddressError(f"the provider {provider!r} does not go with the target {target!r}")


def check_target(target: str) -> None:
    """Refuse a word that looks like a name and names nothing. Raises AddressError."""
    if _NAME.fullmatch(target):
        hint = did_you_mean(target, [local.NAME, *registry.computes()])
        raise AddressError(f"{target!r} is neither a Compute nor an address (grpc://host:port, unix:/path){hint}")
