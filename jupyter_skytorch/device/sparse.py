"""Sparse COO tensors on sky: pairs of sky tensors, indices and values.

Nothing of them is known to the server. Most of PyTorch's own sparse kernels only work with the indices and the values
as tensors, whatever device these are on, so they are used as they are. The few others reach into memory, and have
another form here. That is enough for sparse gradients and for the optimizers that take them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    Scalar = int | float | complex

__all__ = ["register"]

#: Sparse kernels of the CPU that are made of other ops.
_GENERAL = (
    "_coalesced_", "_dimI", "_dimV", "_indices", "_nnz", "_sparse_coo_tensor_with_dims",
    "_sparse_coo_tensor_with_dims_and_tensors", "_to_dense", "_values", "abs", "add.Tensor", "add_.Tensor", "cat",
    "clone", "copy_", "copy_sparse_to_sparse_", "dense_dim", "div.Tensor", "div_.Tensor", "div.out",
    "empty.memory_format", "empty_like", "indices", "is_coalesced", "isinf", "isnan", "mul.Tensor", "mul_.Tensor",
    "native_norm", "native_norm.ScalarOpt_dim_dtype", "neg", "norm.ScalarOpt_dim", "norm.ScalarOpt_dim_dtype",
    "permute", "pow.Tensor_Scalar", "pow.Tensor_Scalar_out", "relu", "resize_as_sparse_", "sign", "sparse_dim",
    "sparse_resize_", "sparse_resize_and_clear_", "sqrt", "sub.Tensor", "sub_.Tensor", "sum", "unsqueeze", "values",
    "zero_", "zeros.out",
)  # fmt: skip

#: Kernels of the CPU that make sparse tensors of others, and are made of other ops too.
_MAKING = ("_embedding_bag_backward", "_to_sparse", "_to_sparse.sparse_dim")


def _sparse(indices: torch.Tensor, values: torch.Tensor, like: torch.Tensor, *, coalesced: bool) -> torch.Tensor:
    return torch.sparse_coo_tensor(indices, values, like.shape, is_coalesced=coalesced, check_invariants=False)


def _coalesce(tensor: torch.Tensor) -> torch.Tensor:
    """Each place once, in order. How many there are only the server knows: a round trip."""
    indices, values = tensor._indices(), tensor._values()
    if tensor._nnz() < 2 or not tensor.sparse_dim():  # noqa: PLR2004  (one place can't be there twice)
        values = values if tensor.sparse_dim() else values.sum(0, keepdim=True)
        return _sparse(indices[:, : len(values)].clone(), values.clone(), tensor, coalesced=True)
    sizes = tensor.shape[: tensor.sparse_dim()]
    place = torch.zeros_like(indices[0])
    for index, size in zip(indices, sizes, strict=True):
        place = place * size + index
    places, positions = torch.unique(place, return_inverse=True)
    sums = values.new_zeros((len(places), *values.shape[1:])).index_add_(0, positions, values)
    columns = []
    for size in reversed(sizes):
        columns.append(places % size)
        places = places.div(size, rounding_mode="floor")
    return _sparse(torch.stack(columns[::-1]), sums, tensor, coalesced=True)


def _add_out(self: torch.Tensor, other: torch.Tensor, *, alpha: Scalar = 1, out: torch.Tensor) -> torch.Tensor:
    if not self.is_sparse:
        if out is not self:
            out.resize_(self.shape).copy_(self)
        values = (other._values() * alpha).to(out.dtype)
        places = tuple(other._indices())
        return out.index_put_(places, values, accumulate=True) if places else out.add_(values.sum(0))
    indices = torch.cat([self._indices(), other._indices()], 1)
    values = torch.cat([self._values().to(out.dtype), (other._values() * alpha).to(out.dtype)])
    return out.copy_(_sparse(indices, values, self, coalesced=False))


def _mul_out(self: Any, other: Any, *, out: torch.Tensor) -> torch.Tensor:
    # Numbers come as numbers, on either side.
    sparse, factor = (self, other) if isinstance(self, torch.Tensor) and self.is_sparse else (other, self)
    if isinstance(factor, torch.Tensor) and factor.is_sparse:
        factor = factor.to_dense()
    if isinstance(factor, torch.Tensor) and factor.dim():
        factor = factor.expand(sparse.shape)[tuple(sparse._indices())]
    return out.copy_(_sparse(sparse._indices(), sparse._values() * factor, sparse, coalesced=sparse.is_coalesced()))


def _mask(self: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The elements of a dense tensor at the places of a sparse one."""
    return _sparse(mask._indices().clone(), self[tuple(mask._indices())], mask, coalesced=mask.is_coalesced())


def _product(self: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
    rows, columns = self._indices()
    terms = self._values()[:, None] * dense[columns]
    return terms.new_zeros(self.shape[0], dense.shape[1]).index_add_(0, rows, terms)


def _addmm(
    self: torch.Tensor, mat1: torch.Tensor, mat2: torch.Tensor, *, beta: Scalar = 1, alpha: Scalar = 1
) -> torch.Tensor:
    return self * beta + _product(mat1, mat2) * alpha


_OWN: dict[str, Callable[..., torch.Tensor]] = {
    "_coalesce": _coalesce,
    "add.out": _add_out,
    "addmm": _addmm,
    "mm": _product,
    "mul.out": _mul_out,
    "sparse_mask": _mask,
}


def register(core: Any) -> torch.library.Library:
    """Gives sparse sky tensors their kernels, for as long as the library that it answers with lives."""
    core.borrow_kernels(list(_GENERAL), "SparseCPU", "SparsePrivateUse1")
    core.borrow_kernels(list(_MAKING), "CPU", "PrivateUse1")
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    for name, kernel in _OWN.items():
        library.impl(name, kernel, "SparsePrivateUse1")  # type: ignore[no-untyped-call]
    return library
