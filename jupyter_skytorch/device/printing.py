"""Printing a sky tensor costs one sync point.

PyTorch formats a tensor by a dozen small ops on it, each of which wants its value. Here what will be shown is copied to
the CPU first, in one piece, and formatted there. The device in the text is PyTorch's to write, from the tensor itself.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

import torch
from torch import _tensor_str
from torch._subclasses.fake_tensor import FakeTensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["print_from_the_cpu"]


def _shown(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a large tensor that is printed, and one slice more in each direction, for which "..." will stand."""
    edge = _tensor_str.PRINT_OPTS.edgeitems
    for dim, size in enumerate(tensor.shape):
        if size > 2 * edge + 1:
            tensor = torch.cat([tensor.narrow(dim, 0, edge + 1), tensor.narrow(dim, size - edge, edge)], dim)
    return tensor


def print_from_the_cpu() -> None:
    """Wraps the one function that PyTorch has for the numbers of a tensor."""
    contents: Callable[[torch.Tensor, int], str] = _tensor_str._tensor_str

    @wraps(contents)
    def tensor_str(self: torch.Tensor, indent: int) -> str:
        if self.device.type != "sky" or isinstance(self, FakeTensor) or self.numel() == 0:
            return contents(self, indent)
        if self.numel() <= _tensor_str.PRINT_OPTS.threshold:
            return contents(self.cpu(), indent)
        with _tensor_str.printoptions(threshold=0):  # what is left of it is to be abridged all the same
            return contents(_shown(self).cpu(), indent)

    _tensor_str._tensor_str = tensor_str
