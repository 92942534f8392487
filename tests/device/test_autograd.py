"""Hooks, checkpoints, functions of one's own and autograd's modes give on sky what they give on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.autograd.function import once_differentiable
from torch.func import grad, vmap
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

if TYPE_CHECKING:
    from collections.abc import Callable

    Case = Callable[[torch.device], Any]

CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def normal(device: torch.device, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def leaf(device: torch.device, *shape: int, seed: int = 0) -> torch.Tensor:
    return normal(device, *shape, seed=seed).requires_grad_()


def network(device: torch.device, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.BatchNorm1d(8), nn.Linear(8, 3)]
    return nn.Sequential(*layers).to(device)


def gradients(module: nn.Module) -> list[torch.Tensor | None]:
    return [p.grad for p in module.parameters()]


class Cube(torch.autograd.Function):
    """The older form, with a backward that can be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class Scaled(torch.autograd.Function):
    """The newer form: two outputs of which one can't be differentiated, and a rule for vmap."""

    @staticmethod
    def forward(x: torch.Tensor, factor: float) -> tuple[torch.Tensor, torch.Tensor]:
        return x * factor, x.argmax()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, float], output: tuple[torch.Tensor, torch.Tensor]) -> None:
        ctx.factor = inputs[1]
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, _: Any) -> tuple[torch.Tensor, None]:
        return gradient * ctx.factor, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int, None], x: torch.Tensor, factor: float) -> Any:
        return Scaled.apply(x.movedim(dims[0], 0), factor), (0, None)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * 2


@case
def functions_of_ones_own(device: torch.device) -> Any:
    x = leaf(device, 5)
    (first,) = torch.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    scaled, place = Scaled.apply(x, 2.0)
    batched, _ = vmap(lambda x: Scaled.apply(x, 3.0))(normal(device, 3, 4))
    once = torch.autograd.grad(Once.apply(x * 1).sum(), x)
    transformed = grad(lambda x: Scaled.apply(x, 2.0)[0].sum())(x)
    return first, second, scaled, place, batched, once, transformed


@case
def double_backward(device: torch.device) -> Any:
    model, x = network(device), leaf(device, 6, 4)
    (slope,) = torch.autograd.grad(model(x).pow(2).sum(), x, create_graph=True)
    slope.norm().backward()
    return slope, x.grad, gradients(model)


@case
def gradients_checked_by_differences(device: torch.device) -> Any:
    x, y = (normal(device, 3, 2, seed=seed).double().requires_grad_() for seed in (0, 1))
    return (
        torch.autograd.gradcheck(lambda x, y: (x * y).tanh().softmax(0), (x, y), check_forward_ad=True),
        torch.autograd.gradgradcheck(lambda x, y: (x @ y.T).sigmoid(), (x, y)),
    )


@case
def hooks_on_tensors(device: torch.device) -> Any:
    seen: list[torch.Tensor] = []
    x = leaf(device, 4)
    x.register_post_accumulate_grad_hook(lambda x: seen.append(x.grad.clone()))
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda gradient: gradient * 2)
    handle = y.register_hook(seen.append)
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append(inputs[0]))
    y.sin().sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    return seen, x.grad, y.grad


@case
def hooks_on_modules(device: torch.device) -> Any:
    model, seen = network(device), []
    model[0].register_forward_pre_hook(lambda _, inputs: (inputs[0] * 2,))
    model[1].register_forward_hook(lambda _, inputs, output: output + inputs[0])
    model[4].register_full_backward_pre_hook(lambda _, outputs: (outputs[0] * 2,))
    model[4].register_full_backward_hook(lambda _, inputs, outputs: seen.extend((inputs[0], outputs[0])))
    model(leaf(device, 6, 4)).sum().backward()
    return seen, gradients(model)


@case
def saved_tensors_packed(device: torch.device) -> Any:
    x, seen = leaf(device, 5), []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(tensor)
        return tensor.double()

    with torch.autograd.graph.saved_tensors_hooks(pack, torch.Tensor.float):
        y = (x.exp() * x).sum()
    y.backward()
    return seen, x.grad


@case
def saved_tensors_on_the_cpu(device: torch.device) -> Any:
    model, x = network(device), leaf(device, 6, 4)
    with torch.autograd.graph.save_on_cpu():
        loss = model(x).pow(2).sum()
    loss.backward()
    with torch.autograd.graph.save_on_cpu(pin_memory=device.type != "cpu"):
        y = x.sin().sum()
    return torch.autograd.grad(y, x), gradients(model)


def checkpointed(device: torch.device, **options: Any) -> Any:
    model, x = network(device, dropout=0.5), leaf(device, 6, 4)
    torch.manual_seed(3)
    y = checkpoint(model, x, **options)
    torch.rand(5, device=device)  # what is drawn in between changes nothing
    y.pow(2).sum().backward()
    return y, x.grad, gradients(model), torch.rand(2, device=device)


@case
def checkpoint_by_reentering(device: torch.device) -> Any:
    return checkpointed(device, use_reentrant=True)


@case
def checkpoint_without_reentering(device: torch.device) -> Any:
    return checkpointed(device, use_reentrant=False)


@case
def checkpoint_that_draws_anew(device: torch.device) -> Any:
    return checkpointed(device, use_reentrant=False, preserve_rng_state=False)


@case
def checkpoint_under_autocast(device: torch.device) -> Any:
    model, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).to(device), leaf(device, 3, 4)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(normal(device, *p.shape))
    with torch.autocast(device.type, dtype=torch.bfloat16):
        y = checkpoint(model, x, use_reentrant=False)
    y.float().sum().backward()
    return y, x.grad, gradients(model)


@case
def checkpointed_sequence(device: torch.device) -> Any:
    model, x = network(device), leaf(device, 6, 4)
    checkpoint_sequential(model, 2, x, use_reentrant=False).sum().backward()
    return x.grad, gradients(model)


@case
def modes(device: torch.device) -> Any:
    x = leaf(device, 3)
    with torch.no_grad():
        y = x * 2
        with torch.enable_grad():
            z = x * 3
    with torch.inference_mode():
        w = (x * 4).add_(1)
        clone = w.clone()
    needs = [t.requires_grad for t in (y, z, w)], [t.is_inference() for t in (w, clone, y)]
    with torch.set_grad_enabled(False):
        off = (x * 2).requires_grad
    return needs, off, y, z, w, w.clone() + 1


@case
def accumulation_and_in_place_changes(device: torch.device) -> Any:
    x = leaf(device, 4, 3)
    y = x * 2
    y[1].mul_(3)
    y[:, 0] = 5
    y.relu_().sum().backward()
    (x * x).sum().backward()
    return x.grad, torch.autograd.grad((x[0] * x[1]).sum(), x, retain_graph=True)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_agrees(name: str, sky: torch.device) -> None:
    def to_cpu(tensor: torch.Tensor) -> torch.Tensor:
        assert tensor.device == sky
        return tensor.detach().cpu()

    here = tree_map_only(torch.Tensor, torch.Tensor.detach, CASES[name](torch.device("cpu")))
    torch.testing.assert_close(tree_map_only(torch.Tensor, to_cpu, CASES[name](sky)), here, rtol=1e-4, atol=1e-5)


def test_dropout_in_a_checkpoint_is_the_same_twice(sky: torch.device) -> None:
    x = torch.ones(1000, device=sky, requires_grad=True)
    y = checkpoint(lambda x: F.dropout(x) * x, x, use_reentrant=False)
    y.sum().backward()
    assert torch.equal(x.grad, 2 * y.detach())


def test_anomaly_mode_names_the_forward_line(sky: torch.device) -> None:
    x = torch.zeros(1, device=sky, requires_grad=True)
    with torch.autograd.set_detect_anomaly(True):
        z = x.sqrt() * 0
        with (
            pytest.warns(UserWarning, match=r"(?s)Error detected in SqrtBackward0.*z = x.sqrt"),
            pytest.raises(RuntimeError, match="returned nan values"),
        ):
            z.backward()


def test_an_inference_tensor_cannot_be_saved_for_backward(sky: torch.device) -> None:
    with torch.inference_mode():
        w = torch.ones(2, device=sky)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        torch.ones(2, device=sky, requires_grad=True) * w


def test_a_change_in_place_of_what_backward_needs_is_found(sky: torch.device) -> None:
    x = torch.ones(2, device=sky, requires_grad=True)
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
