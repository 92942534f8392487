"""``%sky``, one file a subcommand in :mod:`.commands`, and ``%%sky``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add ``%sky`` and ``%%sky`` to a shell."""
    from .install import install

    install(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take them away again; what is connected stays connected."""
    from .install import uninstall

    uninstall(shell)
