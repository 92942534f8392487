"""Sparse COO tensors on sky, and sparse gradients: what they give on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn, optim
from torch.utils._pytree import tree_map_only

if TYPE_CHECKING:
    from collections.abc import Callable

CPU = torch.device("cpu")


def sparse(device: torch.device, *, hybrid: bool = False) -> torch.Tensor:
    """Four elements at three places of a 2 x 3 matrix; `hybrid` has rows of two for elements."""
    indices = torch.tensor([[0, 1, 1, 0], [2, 0, 0, 1]])
    values = torch.arange(8.0).view(4, 2) if hybrid else torch.tensor([3.0, 4, 5, 6])
    shape = (2, 3, 2) if hybrid else (2, 3)
    return torch.sparse_coo_tensor(indices.to(device), values.to(device), shape, check_invariants=True)


def added_in_place(device: torch.device) -> torch.Tensor:
    return torch.ones(3, 2, device=device).t().add_(sparse(device), alpha=2)


def differentiated(device: torch.device) -> Any:
    dense = torch.arange(6.0, device=device).view(3, 2).requires_grad_()
    torch.sparse.mm(sparse(device), dense).pow(2).sum().backward()
    return dense.grad


USES: dict[str, Callable[[torch.device], Any]] = {
    "to_dense": lambda d: sparse(d).to_dense(),
    "coalesce": lambda d: sparse(d).coalesce(),
    "coalesce, hybrid": lambda d: sparse(d, hybrid=True).coalesce(),
    "coalesce, empty": lambda d: torch.sparse_coo_tensor(size=(2, 3), device=d, check_invariants=True).coalesce(),
    "to_sparse": lambda d: torch.tensor([[0, 2.0], [3, 0]], device=d).to_sparse(),
    "to_sparse, hybrid": lambda d: torch.tensor([[0, 2.0], [3, 0]], device=d).to_sparse(1),
    "to": lambda d: sparse(CPU).to(d).to(torch.float64),
    "clone": lambda d: sparse(d).clone(),
    "attributes": lambda d: (sparse(d)._nnz(), sparse(d).sparse_dim(), sparse(d).dense_dim(), sparse(d).is_coalesced()),
    "sum of two": lambda d: (sparse(d) + sparse(d) * 2).coalesce(),
    "sum with a dense one": lambda d: torch.ones(2, 3, device=d) + sparse(d),
    "sum in place": added_in_place,
    "difference": lambda d: (sparse(d) - sparse(d)).to_dense(),
    "multiples": lambda d: (sparse(d) * 2, sparse(d) / 2, -sparse(d), sparse(d).mul_(3).div_(2)),
    "product with a dense one": lambda d: (sparse(d) * torch.arange(6.0, device=d).view(2, 3)).to_dense(),
    "product with a sparse one": lambda d: (sparse(d).coalesce() * sparse(d).coalesce()).to_dense(),
    "functions": lambda d: (sparse(d).coalesce().sqrt(), sparse(d).coalesce() ** 2, sparse(d).coalesce().abs()),
    "mask": lambda d: torch.arange(6.0, device=d).view(2, 3).sparse_mask(sparse(d).coalesce()),
    "reductions": lambda d: (sparse(d).sum(), sparse(d).coalesce().norm()),
    "matrix product": lambda d: sparse(d) @ torch.arange(6.0, device=d).view(3, 2),
    "addmm": lambda d: torch.sparse.addmm(torch.ones(2, 2, device=d), sparse(d), torch.ones(3, 2, device=d), beta=2),
    "gradient": differentiated,
    "zero_": lambda d: sparse(d).zero_().to_dense(),
}


@pytest.mark.parametrize("name", USES)
def test_a_sparse_tensor(name: str, sky: torch.device) -> None:
    def to_cpu(tensor: torch.Tensor) -> torch.Tensor:
        assert tensor.device == sky
        return tensor.cpu()

    torch.testing.assert_close(tree_map_only(torch.Tensor, to_cpu, USES[name](sky)), USES[name](CPU))


def test_it_prints_as_on_the_cpu(sky: torch.device) -> None:
    assert "indices=tensor([[0, 1, 1, 0]," in repr(sparse(sky))


def test_what_it_cannot_do_is_said(sky: torch.device) -> None:
    with pytest.raises(NotImplementedError, match=r"Could not run 'aten::\w+' with arguments from the 'Sparsesky'"):
        torch.sparse.softmax(sparse(sky).coalesce(), 1)


OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "SGD with momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9),
    "SGD in a loop": lambda p: optim.SGD(p, 0.1, foreach=False),
    "SparseAdam": lambda p: optim.SparseAdam(list(p), 0.1),
    "Adagrad": lambda p: optim.Adagrad(p, 0.1),
}
MODULES: dict[str, Callable[[], nn.Module]] = {
    "embedding": lambda: nn.Embedding(10, 3, sparse=True, padding_idx=2),
    "bag of sums": lambda: nn.EmbeddingBag(10, 3, sparse=True, mode="sum"),
    "bag of means": lambda: nn.EmbeddingBag(10, 3, sparse=True, mode="mean"),
}


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")  # by the optimizers
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_with_sparse_gradients(module: str, optimizer: str, sky: torch.device) -> None:
    results = []
    for device in (CPU, sky):
        torch.manual_seed(0)
        model = MODULES[module]().to(device)
        words = torch.tensor([[1, 4, 1, 2], [5, 5, 2, 3]]).to(device)
        stepper = OPTIMIZERS[optimizer](model.parameters())
        for _ in range(3):
            stepper.zero_grad()
            for _ in range(2):  # accumulated
                model(words).pow(2).sum().backward()
            assert model.weight.grad.is_sparse
            stepper.step()
        results.append((model.weight.detach().cpu(), model.weight.grad.coalesce().cpu()))
    torch.testing.assert_close(results[1], results[0])


def test_an_embedding_of_bounded_norm(sky: torch.device) -> None:
    weight, words = torch.arange(12.0).view(4, 3), torch.tensor([1, 3, 1])
    there = weight.to(sky)
    found = F.embedding(words.to(sky), there, max_norm=1.0)
    torch.testing.assert_close(found.cpu(), F.embedding(words, weight, max_norm=1.0))
    torch.testing.assert_close(there.cpu(), weight)
