"""A torch device named ``sky``, whose tensors live and are computed on a torch server elsewhere.

In a notebook::

    %load_ext jupyter_skytorch
    %sky connect

In a program::

    import jupyter_skytorch as sky

    with sky.connect() as compute:
        x = torch.ones(3, device=compute.device())

Importing this package loads neither torch nor Jupyter: names are imported at their first use, since the Jupyter server
loads it too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from skytorch_wire import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .compute import Cluster, Compute, Status, attach, computes, connect, current, init, log_event, use
    from .device import load_into
    from .device.errors import ConnectError, SessionClosed, SessionLost, SkyError

__all__ = [
    "Cluster",
    "Compute",
    "ConnectError",
    "SessionClosed",
    "SessionLost",
    "SkyError",
    "Status",
    "__version__",
    "attach",
    "computes",
    "connect",
    "current",
    "init",
    "load_into",
    "log_event",
    "use",
]

_ERRORS = ("ConnectError", "SessionClosed", "SessionLost", "SkyError")


def __getattr__(name: str) -> object:
    if name.startswith("_") or name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = ".device.errors" if name in _ERRORS else ".device" if name == "load_into" else ".compute"
    return getattr(import_module(home, __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext jupyter_skytorch``: the device, ``%sky`` and ``%%sky``."""
    from .magics import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext jupyter_skytorch``: takes the magics away; what is connected stays."""
    from .magics import unload_ipython_extension as unload

    unload(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "jupyter-skytorch"}]


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    from .web.app import SkyTorchApp

    return [{"module": "jupyter_skytorch.web.app", "app": SkyTorchApp}]
