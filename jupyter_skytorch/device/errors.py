"""What can go wrong on a sky device, beside what PyTorch raises for the same mistake anywhere."""

from __future__ import annotations

import torch

__all__ = ["ConnectError", "SessionClosed", "SessionLost", "SkyError", "make"]


class SkyError(RuntimeError):
    """The base of this package's own errors."""


class ConnectError(SkyError):
    """No session could be had; the message is one line that says why."""


class SessionClosed(SkyError):  # noqa: N818  (a state of the session, as users speak of it)
    """The tensor's session was closed: what it held is gone."""


class SessionLost(SkyError):  # noqa: N818
    """The tensor's session ended by itself, or can't be reached any more."""


#: By wire::ErrorKind: the types that PyTorch raises for the same errors.
_TYPES: tuple[type[Exception], ...] = (
    RuntimeError,
    IndexError,
    ValueError,
    TypeError,
    NotImplementedError,
    torch.OutOfMemoryError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]
    SkyError,
)

#: How a session can end; "forked": this is a forked child, and the session is its parent's.
_ENDS: dict[str, type[SkyError]] = {"closed": SessionClosed, "lost": SessionLost, "forked": SkyError}


def make(kind: int | str, message: str, op: str = "", line: int = 0, cell: int = 0, session: str = "") -> Exception:
    """The exception for a remote error (`kind` is a wire::ErrorKind) or for the end of a session (a word)."""
    if isinstance(kind, str):
        return _ENDS[kind](message)
    where = f"{op} on {session}".strip()
    if cell:
        where += f", cell {cell}"
    if line:
        where += f", line {line}"
    return _TYPES[kind](f"{message}\n[{where}]")
