"""Backward on the caller's thread.

The autograd engine would give each sky device a thread of its own. That thread can't exist for a device that is
registered after the first backward of the process, and it can outlive the interpreter at exit. Nothing is lost without
it, since issuing a record doesn't wait for it.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd import graph

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run_on_callers_thread"]


def run_on_callers_thread() -> None:
    """Wraps the engine's one entry, which :mod:`torch.autograd` holds under a name of its own too."""
    run: Callable[..., Any] = graph._engine_run_backward

    @wraps(run)
    def run_backward(*args: Any, **kwargs: Any) -> Any:
        # The switch is the thread's own, so it has to be thrown in each.
        with torch.autograd.set_multithreading_enabled(False):
            return run(*args, **kwargs)

    graph._engine_run_backward = run_backward
    torch.autograd._engine_run_backward = run_backward  # type: ignore[attr-defined]
