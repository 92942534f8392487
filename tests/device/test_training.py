"""Training on sky gives what training on the CPU gives."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(12, 16), nn.GELU(), nn.Linear(16, 5)), (8, 12)),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
        ),
        (8, 1, 8, 8),
    ),
    "transformer": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True), nn.Flatten(), nn.Linear(96, 5)
        ),
        (8, 6, 16),
    ),
}
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    # Gradients that are nothing but rounding (attention's key bias) must not be blown up to full steps: hence eps.
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, eps=1e-3),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_three_steps(model: str, optimizer: str, sky: torch.device) -> None:
    torch.manual_seed(0)
    make, shape = MODELS[model]
    here = make()
    there = copy.deepcopy(here).to(sky)
    inputs, targets = torch.randn(shape), torch.randint(0, 5, (8,))
    losses = []
    for module, device in ((here, torch.device("cpu")), (there, sky)):
        stepper = OPTIMIZERS[optimizer](module.parameters())
        x, y = inputs.to(device), targets.to(device)
        for _ in range(3):
            stepper.zero_grad()
            loss = F.cross_entropy(module(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            stepper.step()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(other.cpu(), one)


def test_a_model_can_be_saved_and_loaded_both_ways(sky: torch.device) -> None:
    model = nn.Linear(3, 4).to(sky)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    assert torch.load(file)["weight"].device == sky
    file.seek(0)
    assert torch.equal(torch.load(file, map_location="cpu")["weight"], model.weight.cpu())
    assert torch.equal(copy.deepcopy(model).weight.cpu(), model.weight.cpu())


def test_backward_works_when_sky_comes_after_a_local_backward() -> None:
    code = """
import torch
a = torch.ones(3, requires_grad=True); (a * 2).sum().backward()
import jupyter_skytorch
with jupyter_skytorch.connect() as compute:
    w = torch.ones(3, 4, device=compute.device(), requires_grad=True)
    (torch.ones(2, 3, device=w.device) @ w).sum().backward()
    print(w.grad.sum().item())
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert told.stdout.strip() == "24.0"


def test_threads_issue_ops_and_run_backward_at_once(sky: torch.device) -> None:
    results: dict[int, float] = {}

    def work(number: int) -> None:
        w = torch.full((8,), float(number), device=sky, requires_grad=True)
        for _ in range(20):
            (w * w).sum().backward()
        results[number] = w.grad.sum().item()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {number: 20 * 2 * 8.0 * number for number in range(8)}


def test_a_forked_child_is_told_not_to_use_sky_tensors(sky: torch.device) -> None:
    data = torch.utils.data.TensorDataset(torch.arange(8.0))
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=2)
    assert [batch.to(sky).sum().item() for (batch,) in loader] == [6, 22]

    held = torch.ones(2, device=sky)

    class Uses(torch.utils.data.Dataset[float]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> float:
            return float(held.sum())

    with pytest.raises(Exception, match="can't be used in a forked child process"):
        list(torch.utils.data.DataLoader(Uses(), num_workers=1))
    assert held.sum().item() == 2
