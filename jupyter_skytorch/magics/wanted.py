"""What a Compute in Kubernetes is to be: from flags and settings to what the provider takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from jupyter_skytorch.compute.kubernetes.summary import GPU

from .parser import seconds

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute.kubernetes.spec import Specification

    from .parser import Parser
    from .sky import SkyMagics

__all__ = ["by_default", "declare", "said", "standing", "together"]

_UNIT = re.compile(r"(?<=[0-9.])\s*([KMGTPE])(i?)B$")


def declare(parser: Parser) -> None:
    """Declare the flags that say what it is to be."""
    parser.argument("--image", metavar="IMAGE", explain="in Kubernetes: the image of the server")
    parser.argument("--cpu", metavar="AMOUNT", explain="in Kubernetes: its processors, as 4 or 500m")
    parser.argument("--gpu", type=int, metavar="NUMBER", explain="in Kubernetes: how many GPUs it has")
    parser.argument(
        "--env", action="append", metavar="NAME=VALUE", explain="in Kubernetes: in its environment; may be repeated"
    )
    parser.argument(
        "--volume",
        action="append",
        metavar="NAME=SIZE[:PATH]",
        explain="in Kubernetes: a volume that is kept while it is suspended, as data=20Gi:/data; may be repeated",
    )
    parser.argument(
        "--suspend-after",
        type=seconds,
        metavar="TIME",
        explain="in Kubernetes: suspend it after so long without use; 0: never",
    )


def said(options: argparse.Namespace) -> Specification:
    """What the flags say, and nothing else. Raises UsageError."""
    found: Specification = {}
    if options.image is not None:
        found["image"] = options.image
    if amounts := _amounts(options.cpu, options.memory, options.gpu):
        found["resources"] = {"requests": amounts, "limits": amounts}
    if options.env:
        found["env"] = _pairs("--env", options.env, "NAME=VALUE")
    if options.volume:
        found["volumes"] = _pairs("--volume", options.volume, "NAME=SIZE[:PATH], as data=20Gi:/data")
    if options.suspend_after is not None:
        found["suspend_after"] = options.suspend_after
    return found


def by_default(magics: SkyMagics) -> Specification:
    """What a new one is unless the flags say otherwise."""
    found: Specification = {}
    if magics.image:
        found["image"] = magics.image
    if amounts := _amounts(magics.cpu, magics.memory, magics.gpu or None):
        found["resources"] = {"requests": amounts, "limits": amounts}
    if magics.suspend_after is not None:
        found["suspend_after"] = magics.suspend_after
    return found


def standing(resource: dict[str, Any]) -> Specification:
    """What one that there is already was asked to be."""
    spec = resource["spec"]
    found: dict[str, Any] = {
        "image": spec.get("image"),
        "command": spec.get("command"),
        "args": spec.get("args"),
        "env": {each["name"]: each.get("value", "") for each in spec.get("env") or ()},
        "resources": spec.get("resources"),
        "labels": spec.get("labels"),
        "annotations": spec.get("annotations"),
        "volumes": spec.get("volumeClaimTemplates"),
        "port": spec.get("port"),
        "suspend_after": spec.get("idleTimeoutSeconds"),
    }
    kept: Any = {name: value for name, value in found.items() if value not in (None, {}, [])}
    return kept  # type: ignore[no-any-return]


def together(below: Specification, above: Specification) -> Specification:
    """What `above` says, and of `below` what it doesn't; resources and variables one by one."""
    found: dict[str, Any] = {**below, **above}
    if "env" in below and "env" in above:
        found["env"] = {**(below["env"] or {}), **(above["env"] or {})}
    if "resources" in below and "resources" in above:
        lower, upper = below["resources"] or {}, above["resources"] or {}
        found["resources"] = {
            kind: {**(lower.get(kind) or {}), **(upper.get(kind) or {})} for kind in ("requests", "limits")
        }
    merged: Any = found
    return merged  # type: ignore[no-any-return]


def _amounts(cpu: str | None, memory: str | None, gpu: int | None) -> dict[str, str]:
    if gpu is not None and gpu < 0:
        raise UsageError(f"--gpu is a number of GPUs, not {gpu}")
    amounts = {"cpu": cpu, "memory": _memory(memory) if memory else None, GPU: None if gpu is None else str(gpu)}
    return {name: amount for name, amount in amounts.items() if amount}


def _memory(size: str) -> str:
    """A size as people write it, as Kubernetes does: "8GiB" is "8Gi"."""
    return _UNIT.sub(r"\1\2", size.strip())


def _pairs(flag: str, words: list[str], meant: str) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageError(f"%sky connect: {flag} is {meant}, not {word!r}")
        found[name] = value
    return found
