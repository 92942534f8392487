"""torch.func and forward-mode derivatives give on sky what they give on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.autograd import forward_ad
from torch.func import (
    functional_call,
    functionalize,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    stack_module_state,
    vjp,
    vmap,
)
from torch.utils._pytree import tree_map_only

if TYPE_CHECKING:
    from collections.abc import Callable

    Case = Callable[[torch.device], Any]

# PyTorch's own decompositions for forward mode are compiled so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning"),  # linearize traces itself
]

CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def normal(device: torch.device, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def network(device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3)).to(device)


def polynomial(x: torch.Tensor) -> torch.Tensor:
    return (x.sin() * x.roll(1)).pow(3).sum()


@case
def gradient(device: torch.device) -> Any:
    return grad(polynomial)(normal(device, 5)), grad_and_value(polynomial)(normal(device, 5))


@case
def gradient_of_a_gradient(device: torch.device) -> Any:
    return grad(lambda x: grad(polynomial)(x).norm())(normal(device, 5))


@case
def gradients_per_sample(device: torch.device) -> Any:
    model = network(device)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(functional_call(model, parameters, x[None]), y[None])

    targets = torch.tensor([0, 2, 1, 1, 0, 2], device=device)
    return vmap(grad(loss), in_dims=(None, 0, 0))(parameters, normal(device, 6, 4), targets)


@case
def ensemble(device: torch.device) -> Any:
    models = [network(device) for _ in range(3)]
    parameters, buffers = stack_module_state(models)

    def run(parameters: Any, buffers: Any, x: torch.Tensor) -> torch.Tensor:
        return functional_call(models[0], (parameters, buffers), x)

    return vmap(run, in_dims=(0, 0, None))(parameters, buffers, normal(device, 7, 4))


@case
def vmapped_over_other_dimensions(device: torch.device) -> Any:
    return vmap(torch.matmul, in_dims=(2, 0), out_dims=1)(normal(device, 3, 4, 5), normal(device, 5, 4, 2))


@case
def vmapped_in_chunks(device: torch.device) -> Any:
    return vmap(polynomial, chunk_size=2)(normal(device, 5, 4))


@case
def vmapped_twice(device: torch.device) -> Any:
    return vmap(vmap(torch.dot, in_dims=(None, 0)), in_dims=(0, None))(normal(device, 3, 4), normal(device, 5, 4))


@case
def vmapped_with_the_same_random_numbers(device: torch.device) -> Any:
    torch.manual_seed(1)
    return vmap(lambda x: F.dropout(x) + torch.rand_like(x), randomness="same")(normal(device, 3, 4))


@case
def vmapped_with_different_random_numbers(device: torch.device) -> Any:
    torch.manual_seed(1)
    return vmap(lambda x: F.dropout(x) + torch.randn_like(x), randomness="different")(normal(device, 3, 4))


@case
def jacobians(device: torch.device) -> Any:
    def function(x: torch.Tensor) -> torch.Tensor:
        return x.exp() * x.cumsum(0)

    return (
        jacrev(function)(normal(device, 4)),
        jacfwd(function)(normal(device, 4)),
        jacrev(function, chunk_size=2)(normal(device, 4)),
    )


@case
def second_derivatives(device: torch.device) -> Any:
    return hessian(polynomial)(normal(device, 4)), jacfwd(jacrev(polynomial))(normal(device, 4))


@case
def products_with_jacobians(device: torch.device) -> Any:
    x, direction = normal(device, 4), normal(device, 4, seed=1)
    value, pull = vjp(torch.tanh, x)
    linear_value, push = linearize(torch.tanh, x)
    return jvp(torch.tanh, (x,), (direction,)), value, pull(direction), linear_value, push(direction)


@case
def functionalized(device: torch.device) -> Any:
    def in_place(x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y[1:].mul_(2)
        return y.add_(1)

    return functionalize(in_place)(normal(device, 4))


@case
def forward_mode(device: torch.device) -> Any:
    model = network(device)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(normal(device, 2, 4), normal(device, 2, 4, seed=1))
        value, tangent = forward_ad.unpack_dual(model(dual))
    return value, tangent


@case
def functional_jacobian_and_hessian(device: torch.device) -> Any:
    x, direction = normal(device, 4), normal(device, 4, seed=1)
    api = torch.autograd.functional
    return (
        api.jacobian(torch.sin, x),
        api.hessian(polynomial, x),
        api.hvp(polynomial, x, direction),
        api.jvp(torch.sin, x, direction),
        api.jacobian(torch.sin, x, vectorize=True, strategy="forward-mode"),
    )


@pytest.mark.parametrize("name", CASES)
def test_transform(name: str, sky: torch.device) -> None:
    def to_cpu(tensor: torch.Tensor) -> torch.Tensor:
        assert tensor.device == sky
        return tensor.detach().cpu()

    here = tree_map_only(torch.Tensor, torch.Tensor.detach, CASES[name](torch.device("cpu")))
    torch.testing.assert_close(tree_map_only(torch.Tensor, to_cpu, CASES[name](sky)), here, rtol=1e-4, atol=1e-5)


def test_vmap_refuses_random_numbers_unless_told_how(sky: torch.device) -> None:
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        vmap(F.dropout)(torch.ones(3, 2, device=sky))
