"""What loading the extension changes in a shell, and how it is undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jupyter_skytorch.device  # noqa: F401 (registers sky with torch, while that is expected to take its time)
from jupyter_skytorch.compute.waiting import show_with
from jupyter_skytorch.display.profile import profile_bundle
from jupyter_skytorch.display.progress import progress
from jupyter_skytorch.display.running import Running
from jupyter_skytorch.display.status import compute_bundle, status_bundle

from . import completion
from .sky import SkyMagics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["install", "uninstall"]

# By name, because the classes are not imported before something is connected.
_BUNDLES = {
    ("jupyter_skytorch.compute.compute", "Compute"): compute_bundle,
    ("jupyter_skytorch.compute.status", "Status"): status_bundle,
    ("jupyter_skytorch.compute.profile", "Profile"): profile_bundle,
}


def install(shell: InteractiveShell) -> None:
    """Register the magics, their completion, and how Computes are shown."""
    magics = SkyMagics(shell=shell)
    shell.register_magics(magics)
    completion.install(shell)
    if shell.display_formatter is not None:
        for (module, name), bundle in _BUNDLES.items():
            shell.display_formatter.mimebundle_formatter.for_type_by_name(module, name, bundle)
    running = magics.running = Running(shell)
    show_with(lambda text: progress(text, magics.progress_delay, running))


def uninstall(shell: InteractiveShell) -> None:
    """Undo install()."""
    show_with(None)
    if shell.display_formatter is not None:
        for module, name in _BUNDLES:
            shell.display_formatter.mimebundle_formatter.pop(f"{module}.{name}", None)
    completion.uninstall(shell)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("sky", None)
    magics = shell.magics_manager.registry.pop(SkyMagics.__name__, None)
    if magics is not None and magics.running is not None:
        magics.running.unregister()
    if magics in shell.configurables:
        shell.configurables.remove(magics)
