"""Advice to a cell that looked for CUDA, found none, and went on."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Asked", "noticing_cuda"]


class Asked:
    """Whether the cell's own code was told that CUDA isn't available."""

    def __init__(self) -> None:
        self.in_vain = False

    @property
    def advice(self) -> str:
        """One line for the end of the cell; empty where there is nothing to say."""
        if not self.in_vain:
            return ""
        return 'torch.cuda.is_available() is False on this machine: %%sky --as-cuda runs what says "cuda" on sky'


@contextmanager
def noticing_cuda(namespace: dict[str, Any]) -> Iterator[Asked]:
    """Notice when code of the notebook asks torch.cuda.is_available(). Libraries ask too, and are not meant."""
    original, asked = torch.cuda.is_available, Asked()

    def is_available() -> bool:
        answer = original()
        if not answer and sys._getframe(1).f_globals is namespace:  # noqa: SLF001
            asked.in_vain = True
        return answer

    torch.cuda.is_available = is_available
    try:
        yield asked
    finally:
        torch.cuda.is_available = original
