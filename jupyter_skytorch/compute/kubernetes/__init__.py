"""The provider "kubernetes": a Compute is an object of a cluster, which its operator turns into a server.

Needs the package kubernetes-asyncio; :func:`require` says so.
"""

from __future__ import annotations

from importlib.util import find_spec

from .spec import Specification

__all__ = ["NAME", "Specification", "require"]

NAME = "kubernetes"


def require() -> None:
    """Raise ImportError, one line, where what this provider stands on isn't installed."""
    if find_spec("kubernetes_asyncio") is None:
        raise ImportError("Computes in Kubernetes need kubernetes-asyncio: pip install 'jupyter-skytorch[kubernetes]'")
