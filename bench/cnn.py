"""A training step of a small convolutional network."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from .figure import Figure, Target, in_turn, paired
from .models import cnn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from .rig import Rig

BATCH = 64
STEPS = 30
ROUNDS = 11


def _trainer(rig: Rig, device: torch.device, initial: nn.Module, *, read_loss: bool) -> Callable[[], float]:
    """A function that trains for some steps and says how many it did in a second."""
    model = copy.deepcopy(initial).to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    images = torch.randn(BATCH, 1, 28, 28).to(device)
    labels = torch.randint(10, (BATCH,)).to(device)

    def train() -> float:
        rig.wait(device)
        started = time.perf_counter()
        for _ in range(STEPS):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if read_loss:
                loss.item()
        rig.wait(device)
        return STEPS / (time.perf_counter() - started)

    return train


def measure(rig: Rig) -> list[Figure]:
    """Steps a second of a network with two convolutions, batch 64, AdamW; and with a loss read at every step."""
    initial = cnn()
    figures = []
    for name, read_loss in (("CNN step", False), ("CNN step with .item()", True)):
        remote = _trainer(rig, rig.device, initial, read_loss=read_loss)
        local = _trainer(rig, rig.local, initial, read_loss=read_loss)
        target = None if read_loss else Target(0.95, at_least=True)
        figures.append(paired(name, "steps/s", in_turn(ROUNDS, remote, local), target))
    return figures
