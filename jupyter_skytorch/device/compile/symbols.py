"""Sizes that differ from run to run: worked out here, from the arguments of the run, and told to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from skytorch_wire.format import DTYPE_NUMBERS

from .arguments import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Known = Mapping[Any, int]
    Expression = Callable[[Known], Any]

__all__ = ["Symbols"]


class Symbols:
    """A graph's symbols, and the numbers that its ops take of them."""

    def __init__(self) -> None:
        self._sources: dict[Any, tuple[int, int]] = {}
        self._indices: dict[Any, int] = {}
        self.numbers: list[Expression] = []

    @property
    def sources(self) -> tuple[tuple[int, int], ...]:
        """Where each symbol's value is found: an argument and its dimension, -1 for the argument itself."""
        return tuple(self._sources.values())

    @property
    def count(self) -> int:
        """How many numbers each run gives."""
        return len(self.numbers)

    def given(self, place: int, number: torch.SymInt) -> None:
        """An argument is a symbol's value."""
        if number.node.expr.is_Symbol:
            self._sources[number.node.expr] = (place, -1)

    def found_in(self, place: int, tensor: torch.Tensor) -> None:
        """An argument's sizes may be symbols' values."""
        for dim, size in enumerate(tensor.shape):
            if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                self._sources.setdefault(size.node.expr, (place, dim))

    def known(self, given: tuple[int, ...]) -> Known:
        """The symbols' values, from those of their sources."""
        return dict(zip(self._sources, given, strict=True))

    def expression(self, number: Any) -> Expression:
        """What works out a number.

        Raises:
            UnsupportedError: it depends on the values of tensors.
        """
        if not isinstance(number, torch.SymInt | torch.SymFloat | torch.SymBool):
            return lambda _known: number
        expression = number.node.expr
        if not expression.free_symbols <= self._sources.keys():
            raise UnsupportedError("a size depends on the values of a tensor")
        kind: type = {torch.SymInt: int, torch.SymFloat: float, torch.SymBool: bool}[type(number)]
        return lambda known: kind(expression.xreplace(known))

    def number(self, number: Any) -> int | float | bool | tuple[int]:
        """A number that is the same at each run, or the one-tuple of its index among those that aren't."""
        expression = self.expression(number)
        if not isinstance(number, torch.SymInt | torch.SymFloat | torch.SymBool):
            constant: float = number
            return constant
        key = (type(number), number.node.expr)
        if key not in self._indices:
            self._indices[key] = len(self.numbers)
            self.numbers.append(expression)
        return (self._indices[key],)

    def layout(self, tensor: torch.Tensor, base: torch.Tensor | None) -> Expression:
        """What works out (dtype, sizes, strides, offset) of a result; the offset is that from `base`'s."""
        dtype = DTYPE_NUMBERS[str(tensor.dtype).removeprefix("torch.")]
        sizes = [self.expression(size) for size in tensor.shape]
        strides = [self.expression(stride) for stride in tensor.stride()]
        offset = 0 if base is None else tensor.storage_offset() - base.storage_offset()
        start = self.expression(offset)
        return lambda known: (
            dtype,
            tuple(size(known) for size in sizes),
            tuple(stride(known) for stride in strides),
            start(known),
        )
