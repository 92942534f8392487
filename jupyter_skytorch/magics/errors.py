"""Errors of a magic's use show as one line, without a traceback."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from jupyter_skytorch.compute.registry import UnknownComputeError
from jupyter_skytorch.compute.survey import SurveyError
from jupyter_skytorch.device.errors import SkyError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["one_line"]


@contextmanager
def one_line() -> Iterator[None]:
    """Turn errors that say everything in their message into UsageError."""
    try:
        yield
    except (SkyError, SurveyError, UnknownComputeError) as error:
        raise UsageError(str(error)) from None
