"""Training steps under ``torch.compile(backend="sky")``, beside local torch as it stands."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from .figure import Figure, Target, in_turn, paired
from .models import cnn, mlp, transformer

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from .rig import Rig

    Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

ROUNDS = 11
BATCH = 64


def _trainer(
    initial: nn.Module, optimizer: type[torch.optim.Optimizer], x: torch.Tensor, y: torch.Tensor, loss: Loss, steps: int
) -> Callable[[Rig, torch.device], Callable[[], float]]:
    """What makes, for a device, a function that trains for some steps and says how many it did in a second."""

    def on(rig: Rig, device: torch.device) -> Callable[[], float]:
        model = copy.deepcopy(initial).to(device)
        optimize = optimizer(model.parameters())  # type: ignore[call-arg]
        inputs, targets = x.to(device), y.to(device)
        call = torch.compile(model, backend="sky", fullgraph=True) if device == rig.device else model

        def train() -> float:
            rig.wait(device)
            started = time.perf_counter()
            for _ in range(steps):
                computed = loss(call(inputs), targets)
                optimize.zero_grad()
                computed.backward()
                optimize.step()
            rig.wait(device)
            return steps / (time.perf_counter() - started)

        return train

    return on


def measure(rig: Rig) -> list[Figure]:
    """Steps a second: an MLP, 4 transformer layers and a network with two convolutions."""
    labels = torch.randint(10, (BATCH,))
    places = torch.randn(8, 32, 64)
    adam, adamw = torch.optim.Adam, torch.optim.AdamW
    cases = (
        ("MLP", 1.3, _trainer(mlp(), adam, torch.randn(BATCH, 784), labels, F.cross_entropy, 200)),
        ("transformer", 1.3, _trainer(transformer(), adam, places, torch.randn_like(places), F.mse_loss, 30)),
        ("CNN", 1.0, _trainer(cnn(), adamw, torch.randn(BATCH, 1, 28, 28), labels, F.cross_entropy, 20)),
    )
    return [
        paired(
            f"{name} step, compiled",
            "steps/s",
            in_turn(ROUNDS, on(rig, rig.device), on(rig, rig.local)),
            Target(bound, at_least=True),
            yardstick="local eager torch",
        )
        for name, bound, on in cases
    ]
