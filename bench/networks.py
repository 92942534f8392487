"""Small networks at work: training steps, a forward pass, and writing text token by token."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from .figure import Figure, Target, in_turn, paired
from .models import cnn, gpt, gpt2_small, mlp, transformer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from .models import GPT
    from .rig import Rig

ROUNDS = 11
STEPS = 30
BATCH = 64
LENGTH = 32
TOKENS = 48


def _trainer(
    initial: nn.Module, optimizer: type[torch.optim.Optimizer], image: Sequence[int], *, read_loss: bool
) -> Callable[[torch.device], Callable[[], None]]:
    """What makes, for a device, a function that trains for some steps on one batch."""

    def on(device: torch.device) -> Callable[[], None]:
        model = copy.deepcopy(initial).to(device)
        optimize = optimizer(model.parameters())  # type: ignore[call-arg]
        images = torch.randn(BATCH, *image).to(device)
        labels = torch.randint(10, (BATCH,)).to(device)

        def train() -> None:
            for _ in range(STEPS):
                loss = F.cross_entropy(model(images), labels)
                optimize.zero_grad()
                loss.backward()
                optimize.step()
                if read_loss:
                    loss.item()

        return train

    return on


def _forward(initial: nn.Module) -> Callable[[torch.device], Callable[[], None]]:
    def on(device: torch.device) -> Callable[[], None]:
        model = copy.deepcopy(initial).to(device)
        x = torch.randn(8, LENGTH, 64).to(device)

        @torch.no_grad()
        def forward() -> None:
            for _ in range(STEPS):
                model(x)

        return forward

    return on


def _decode(initial: GPT) -> Callable[[torch.device], Callable[[], None]]:
    def on(device: torch.device) -> Callable[[], None]:
        model = copy.deepcopy(initial).to(device)

        def write() -> None:
            for _ in model.decode(TOKENS):
                pass

        return write

    return on


def _reader(initial: GPT, *, train: bool) -> Callable[[torch.device], Callable[[], None]]:
    """What makes a function that reads texts of 256 tokens, and learns from them if it is to."""

    def on(device: torch.device) -> Callable[[], None]:
        model = copy.deepcopy(initial).to(device)
        optimize = torch.optim.AdamW(model.parameters())
        texts = torch.randint(50_257, (4, 257)).to(device)

        def read() -> None:
            for _ in range(STEPS):
                with torch.set_grad_enabled(train):
                    scores = model.read(texts[:, :-1])
                if train:
                    optimize.zero_grad()
                    F.cross_entropy(scores.flatten(0, 1), texts[:, 1:].flatten()).backward()
                    optimize.step()

        return read

    return on


def measure(rig: Rig) -> list[Figure]:
    """Steps, forward passes and tokens a second."""

    def rate(work: Callable[[], None], device: torch.device, times: int) -> Callable[[], float]:
        def measured() -> float:
            rig.wait(device)
            started = time.perf_counter()
            work()
            rig.wait(device)
            return times / (time.perf_counter() - started)

        return measured

    adam, adamw = torch.optim.Adam, torch.optim.AdamW
    cases = (
        ("MLP step", "steps/s", STEPS, 1.0, _trainer(mlp(), adam, (784,), read_loss=False)),
        ("MLP step with .item()", "steps/s", STEPS, 0.75, _trainer(mlp(), adam, (784,), read_loss=True)),
        ("CNN step", "steps/s", STEPS, 1.0, _trainer(cnn(), adamw, (1, 28, 28), read_loss=False)),
        ("CNN step with .item()", "steps/s", STEPS, 0.97, _trainer(cnn(), adamw, (1, 28, 28), read_loss=True)),
        ("transformer forward", "passes/s", STEPS, 1.0, _forward(transformer())),
        ("GPT decode", "tokens/s", TOKENS, 0.6, _decode(gpt())),
    )
    if rig.local.type == "cuda":
        # Too much for a CPU to be compared in good time.
        cases += (
            ("GPT-2-small forward", "passes/s", STEPS, 1.0, _reader(gpt2_small(), train=False)),
            ("GPT-2-small step", "steps/s", STEPS, 1.0, _reader(gpt2_small(), train=True)),
            ("GPT-2-small decode", "tokens/s", TOKENS, 0.6, _decode(gpt2_small())),
        )
    figures = []
    for name, unit, times, bound, on in cases:
        sky, local = (rate(on(device), device, times) for device in (rig.device, rig.local))
        figures.append(paired(name, unit, in_turn(ROUNDS, sky, local), Target(bound, at_least=True)))
    return figures
