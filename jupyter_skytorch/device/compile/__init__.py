"""``torch.compile(..., backend="sky")``: whole graphs are sent once, and run by one record each."""

from __future__ import annotations

from .backend import register

__all__ = ["register"]
