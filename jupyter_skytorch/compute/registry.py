"""The Computes that this process is connected to, by name, and which of them is the current one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .suggestion import did_you_mean
from .survey import KnownServer

if TYPE_CHECKING:
    from .compute import Compute

__all__ = ["UnknownComputeError", "add", "computes", "current", "find", "remove", "servers", "use"]


class UnknownComputeError(LookupError):
    """No Compute of this process has that name. The message is one line."""


_computes: dict[str, Compute] = {}
_current: list[str] = []
"""Names in the order in which they were last made current; the last one is."""
_inherited: list[Compute] = []
"""What a forked child has of its parent's."""


def computes() -> dict[str, Compute]:
    """Return the Computes of this process by name: the connected ones and those whose server was lost."""
    return dict(_computes)


def servers() -> list[KnownServer]:
    """The servers that this process is connected to, or was."""
    return [KnownServer.of_place(compute.place) for compute in computes().values()]


def current() -> Compute | None:
    """Return the Compute that `%%sky` uses: the one connected to or chosen last."""
    return _computes[_current[-1]] if _current else None


def find(name: str) -> Compute:
    """Return the Compute of a name. Raises UnknownComputeError."""
    if name in _computes:
        return _computes[name]
    if not _computes:
        raise UnknownComputeError(f"there is no Compute {name!r}: nothing is connected")
    hint = did_you_mean(name, _computes) or f"; there is {', '.join(sorted(_computes))}"
    raise UnknownComputeError(f"there is no Compute {name!r}{hint}")


def use(name: str) -> Compute:
    """Make a Compute the current one. Raises UnknownComputeError."""
    compute = find(name)
    if name in _current:
        _current.remove(name)
    _current.append(name)
    return compute


def add(compute: Compute) -> None:
    """Enter a Compute under its name and make it the current one."""
    _computes[compute.name] = compute
    use(compute.name)


def remove(compute: Compute) -> None:
    """Forget a Compute, unless its name stands for another one by now."""
    if _computes.get(compute.name) is compute:
        del _computes[compute.name]
        _current.remove(compute.name)


def _forget() -> None:
    # The sessions are the parent's: a forked child has neither their threads nor the right to close them, or to take
    # the objects apart (see session.control).
    _inherited.extend(_computes.values())
    _computes.clear()
    _current.clear()


os.register_at_fork(after_in_child=_forget)
