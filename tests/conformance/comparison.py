"""The same call on the CPU and on sky: copies of its arguments, and a comparison of everything that came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch._prims_common import check_significant_strides
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class MismatchError(AssertionError):
    """Sky gave something else than the CPU."""


@dataclass(frozen=True)
class Call:
    """A function with arguments on one device."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def run(self) -> Any:
        return self.function(*self.arguments, **self.keywords)

    def tensors(self) -> list[torch.Tensor]:
        return tensors_of((self.arguments, self.keywords))


def tensors_of(value: Any) -> list[torch.Tensor]:
    """The tensors in a nest of lists, tuples and dictionaries, in order."""
    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, torch.Tensor)]


class Copier:
    """Copies values to a device; what shares memory before shares it after, at the same places."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._storages: dict[int, torch.Tensor] = {}

    def __call__(self, value: Any) -> Any:
        return tree_map(self._leaf, value)

    def _leaf(self, leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return self._tensor(leaf)
        if isinstance(leaf, torch.device) or (isinstance(leaf, str) and leaf == "cpu"):
            return self._device
        return leaf

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        plain = tensor.detach()
        if tensor.layout != torch.strided:
            return plain.clone().to(self._device).requires_grad_(tensor.requires_grad)
        storage = plain.untyped_storage()
        if storage.data_ptr() not in self._storages or not storage.nbytes():
            data = torch.empty(0, dtype=torch.uint8).set_(storage)
            self._storages[storage.data_ptr()] = data.clone().to(self._device)
        copy = torch.empty(0, dtype=tensor.dtype, device=self._device)
        place = (tensor.storage_offset(), tensor.size(), tensor.stride())
        copy.set_(self._storages[storage.data_ptr()].untyped_storage(), *place)
        if tensor.is_conj():
            copy = torch._conj(copy)
        if tensor.is_neg():
            copy = torch._neg_view(copy)
        return copy.requires_grad_(tensor.requires_grad)


def copied(call: Call, device: torch.device, *, first_only: bool = False) -> Call:
    """The call with its arguments, or only the first of them, copied to the device."""
    copier = Copier(device)
    if first_only:
        return Call(call.function, (copier(call.arguments[0]), *call.arguments[1:]), call.keywords)
    arguments, keywords = copier((call.arguments, call.keywords))
    return Call(call.function, arguments, keywords)


def compare(
    actual: Any, expected: Any, what: str, *, values: bool = True, tolerance: tuple[float, float] | None = None
) -> None:
    """Raises MismatchError unless both are alike: structure, dtypes, shapes, strides, gradients' need, values.

    `tolerance` is (rtol, atol); by default what torch.testing.assert_close takes for the dtype.
    """
    actual_leaves, actual_tree = tree_flatten(actual)
    expected_leaves, expected_tree = tree_flatten(expected)
    if actual_tree != expected_tree:
        raise MismatchError(f"{what}: structure {actual_tree} instead of {expected_tree}")
    for one, other in zip(actual_leaves, expected_leaves, strict=True):
        _compare_leaf(one, other, what, values=values, tolerance=tolerance)


def _compare_leaf(
    actual: Any, expected: Any, what: str, *, values: bool, tolerance: tuple[float, float] | None
) -> None:
    if isinstance(expected, torch.device):
        return
    if isinstance(expected, torch.Tensor):
        if not isinstance(actual, torch.Tensor):
            raise MismatchError(f"{what}: {type(actual).__name__} instead of a tensor")
        _compare_metadata(actual, expected, what)
        rtol, atol = tolerance or (None, None)
        if values:
            try:
                torch.testing.assert_close(
                    actual.detach().cpu(), expected.detach(), rtol=rtol, atol=atol, equal_nan=True
                )
            except AssertionError as error:
                raise MismatchError(f"{what}: {' '.join(str(error).split())}") from error
    elif values and actual != expected and not (is_nan(actual) and is_nan(expected)):
        raise MismatchError(f"{what}: {actual!r} instead of {expected!r}")


def is_nan(value: Any) -> bool:
    """Whether this is the one value that isn't equal to itself."""
    return isinstance(value, float | complex) and value != value  # noqa: PLR0124


def _compare_metadata(actual: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    for attribute in ("dtype", "layout", "shape", "requires_grad"):
        found, wanted = getattr(actual, attribute), getattr(expected, attribute)
        if found != wanted:
            raise MismatchError(f"{what}: {attribute} {found} instead of {wanted}")
    if actual.layout == torch.strided and not check_significant_strides(actual, expected)[0]:
        raise MismatchError(f"{what}: stride {actual.stride()} instead of {expected.stride()}")


def sharing(tensors: Sequence[torch.Tensor]) -> list[tuple[int, int]]:
    """For each tensor which of them is the first with its memory, and where in it it begins."""
    first: dict[int, int] = {}
    places = []
    for index, tensor in enumerate(tensors):
        if tensor.layout != torch.strided or not tensor.untyped_storage().nbytes():
            places.append((index, 0))
            continue
        owner = first.setdefault(tensor.untyped_storage().data_ptr(), index)
        places.append((owner, int(tensor.storage_offset())))
    return places


def noise(like: Any, seed: int) -> Any:
    """CPU tensors of the shapes and dtypes of a nest of CPU tensors, with standard normal values."""
    generator = torch.Generator().manual_seed(seed)
    return tree_map_only(torch.Tensor, lambda one: torch.randn(one.shape, dtype=one.dtype, generator=generator), like)
