"""Every optimizer of torch.optim, in each of its forms, takes on sky the steps that it takes on the CPU."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn, optim
from torch.nn.utils import parametrizations, parametrize, prune
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.testing._internal.common_optimizers import OptimizerInfo, optim_db
from torch.utils._pytree import tree_map_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_skytorch import Compute

CPU = torch.device("cpu")
FORMS = {"default": {}, "loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def forms(info: OptimizerInfo) -> list[str]:
    offered = {"default", *info.supported_impls} | ({"loop"} if "foreach" in info.supported_impls else set())
    return [form for form in FORMS if form in offered and "sparse" not in info.optim_cls.__name__.lower()]


def stepped(info: OptimizerInfo, options: dict[str, Any], device: torch.device) -> list[torch.Tensor]:
    """Three parameters after some steps."""
    torch.manual_seed(0)
    shapes = [(4, 3), (5, 2), (3, 6)] if info.optim_cls is optim.Muon else [(4, 3), (7,), (2, 3, 4)]
    parameters = [nn.Parameter(torch.randn(shape).to(device)) for shape in shapes]
    targets = [torch.randn(shape).to(device) for shape in shapes]
    optimizer = info.optim_cls(parameters, **options)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        total = sum(((p - t) ** 2).sum() + p.sin().sum() for p, t in zip(parameters, targets, strict=True))
        total.backward()
        return total

    for _ in range(1 if info.optim_cls is optim.LBFGS else 3):  # which is twenty steps
        optimizer.step(loss)
    return [p.detach() for p in parameters]


@pytest.mark.parametrize(
    ("info", "form"),
    [pytest.param(info, form, id=f"{info.optim_cls.__name__}-{form}") for info in optim_db for form in forms(info)],
)
def test_steps(info: OptimizerInfo, form: str, sky: torch.device) -> None:
    for sample in info.optim_inputs_func(device="cpu"):
        options = {**sample.kwargs, **FORMS[form]}
        if form == "fused" and isinstance(options.get("lr"), torch.Tensor):
            continue  # refused on the CPU
        expected = stepped(info, options, CPU)
        found = [p.cpu() for p in stepped(info, options, sky)]
        torch.testing.assert_close(found, expected, msg=lambda message, desc=sample.desc: f"{desc}: {message}")


def records(compute: Compute, function: Callable[[], object]) -> int:
    sink = compute.session()._sink
    before = sink.counters()["ops"]
    function()
    return sink.counters()["ops"] - before


@pytest.mark.parametrize("cls", [optim.SGD, optim.Adam, optim.AdamW, optim.Adagrad])
def test_a_fused_step_is_one_record(cls: type[optim.Optimizer], sky: torch.device, compute: Compute) -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(5))).to(sky)
    optimizer = cls(model.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        model(torch.ones(2, 4, device=sky)).sum().backward()
        optimizer.step()
    # The numbers of steps are kept by tensors of their own.
    assert records(compute, optimizer.step) <= 2


def network(device: torch.device) -> tuple[nn.Module, Callable[[], torch.Tensor]]:
    """A network, and a function that computes its loss on its only batch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
    x, y = torch.randn(16, 6).to(device), torch.randint(0, 2, (16,)).to(device)
    model.to(device)
    return model, lambda: nn.functional.cross_entropy(model(x), y)


def fit(optimizer: optim.Optimizer, loss: Callable[[], torch.Tensor], before: Any = None, after: Any = None) -> None:
    for _ in range(6):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        if before:
            before()
        optimizer.step()
        if after:
            after(value.detach())


def clipped_by_norm(device: torch.device) -> Any:
    model, loss = network(device)
    norms: list[torch.Tensor] = []

    def clip() -> None:
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 0.1))
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 0.1, norm_type="inf", foreach=False))

    fit(optim.SGD(model.parameters(), 0.5), loss, clip)
    return model.state_dict(), norms, nn.utils.get_total_norm([p.grad for p in model.parameters()], 1.0)


def clipped_by_value(device: torch.device) -> Any:
    model, loss = network(device)
    fit(optim.SGD(model.parameters(), 0.5), loss, lambda: nn.utils.clip_grad_value_(model.parameters(), 0.01))
    return model.state_dict(), nn.utils.parameters_to_vector(model.parameters())


def scheduled(device: torch.device) -> Any:
    results = []
    for make in (
        lambda o: optim.lr_scheduler.StepLR(o, 2),
        lambda o: optim.lr_scheduler.OneCycleLR(o, 0.5, total_steps=9),
        lambda o: optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
        lambda o: optim.lr_scheduler.SequentialLR(
            o, [optim.lr_scheduler.LinearLR(o), optim.lr_scheduler.ExponentialLR(o, 0.9)], [3]
        ),
        lambda o: optim.lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=0.5),
    ):
        model, loss = network(device)
        optimizer = optim.Adam(model.parameters(), 0.1, eps=1e-3)
        scheduler = make(optimizer)
        plateau = isinstance(scheduler, optim.lr_scheduler.ReduceLROnPlateau)
        fit(optimizer, loss, after=lambda v, s=scheduler, p=plateau: s.step(v) if p else s.step())
        results.append((optimizer.param_groups[0]["lr"], model.state_dict()))
    return results


def averaged(device: torch.device) -> Any:
    results = []
    for keywords in ({}, {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}):
        model, loss = network(device)
        average = AveragedModel(model, **keywords)
        optimizer = optim.SGD(model.parameters(), 0.5)
        scheduler = SWALR(optimizer, 0.05)

        def after(
            _: torch.Tensor, average: AveragedModel = average, model: nn.Module = model, s: Any = scheduler
        ) -> None:
            average.update_parameters(model)
            s.step()

        fit(optimizer, loss, after=after)
        update_bn([torch.ones(4, 6, device=device), torch.zeros(4, 6, device=device)], average)
        results.append(average.state_dict())
    return results


def parametrized(device: torch.device) -> Any:
    model, loss = network(device)
    parametrizations.weight_norm(model[0])
    parametrizations.spectral_norm(model[3])
    parametrize.register_parametrization(model[0], "bias", nn.Tanh())
    fit(optim.SGD(model.parameters(), 0.5), loss)
    parametrize.remove_parametrizations(model[3], "weight")
    return model.state_dict()


def orthogonal(device: torch.device) -> Any:
    torch.manual_seed(0)
    layer = nn.Linear(5, 5).to(device)
    parametrizations.orthogonal(layer)

    def loss() -> torch.Tensor:
        return layer(torch.eye(5, device=device)).pow(2)[0].sum()

    fit(optim.SGD(layer.parameters(), 0.1), loss)
    return layer.weight @ layer.weight.T


def pruned(device: torch.device) -> Any:
    model, loss = network(device)
    prune.l1_unstructured(model[0], "weight", 0.4)
    prune.ln_structured(model[3], "weight", 0.25, n=2, dim=1)
    fit(optim.SGD(model.parameters(), 0.5), loss)
    prune.remove(model[0], "weight")
    prune.global_unstructured([(model[0], "weight")], prune.L1Unstructured, amount=10)
    return model.state_dict()


def resumed(device: torch.device) -> Any:
    # Gradients that are nothing but rounding (of the bias before a norm) must not be blown up to full steps: hence eps.
    model, loss = network(device)
    optimizer = optim.AdamW(model.parameters(), 0.1, eps=1e-3)
    fit(optimizer, loss)
    twin, twins_loss = network(device)
    twin.load_state_dict(copy.deepcopy(model.state_dict()))
    other = optim.AdamW(twin.parameters(), 0.1, eps=1e-3)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    fit(other, twins_loss)
    return twin.state_dict(), other.state_dict()["state"]


@pytest.mark.filterwarnings("ignore:Seems like `optimizer.step")
@pytest.mark.parametrize(
    "train",
    [clipped_by_norm, clipped_by_value, scheduled, averaged, parametrized, orthogonal, pruned, resumed],
    ids=lambda train: train.__name__,
)
def test_training_tools(train: Callable[[torch.device], Any], sky: torch.device) -> None:
    expected = tree_map_only(torch.Tensor, torch.Tensor.detach, train(CPU))
    found = tree_map_only(torch.Tensor, lambda t: t.detach().cpu(), train(sky))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)
