"""A training that tells whether anything was lost, done twice, or done in another order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from bench.models import cnn

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 16
READ_EVERY = 4
BULK_EVERY = 16
BULK = 1 << 20  # numbers: 4 MiB


class Training:
    """A CNN with dropout, so that random numbers count, and an optimizer that isn't idempotent.

    Batches are uploaded, losses read, and now and then some MiB go up and come back: a fault meets all of these.
    """

    def __init__(self, device: torch.device | str) -> None:
        torch.manual_seed(0)
        self.device = device
        self.model = nn.Sequential(cnn()[:5], nn.Dropout(0.1), cnn()[5:]).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.steps = torch.zeros((), dtype=torch.int64, device=device)
        self.losses: list[float] = []
        self._batches = torch.Generator().manual_seed(1)

    def state(self) -> dict[str, Any]:
        """All that :meth:`resumed` goes on from."""
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "steps": self.steps,
            "losses": list(self.losses),
            "batches": self._batches.get_state(),
            "random": torch.sky.get_rng_state(self.device),
        }

    @classmethod
    def resumed(cls, device: torch.device, state: dict[str, Any]) -> Training:
        """The training whose state that is."""
        training = cls(device)
        training.model, training.optimizer, training.steps = state["model"], state["optimizer"], state["steps"]
        training.losses = list(state["losses"])
        training._batches.set_state(state["batches"])
        torch.sky.set_rng_state(state["random"], device)
        return training

    def run(self) -> Iterator[int]:
        """Trains on; gives the number of steps that are done, after each."""
        step = int(self.steps)
        while True:
            images = torch.randn(BATCH, 1, 28, 28, generator=self._batches, device="cpu").to(self.device)
            labels = torch.randint(10, (BATCH,), generator=self._batches, device="cpu").to(self.device)
            loss = F.cross_entropy(self.model(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.steps.add_(1)
            step += 1
            if step % READ_EVERY == 0:
                self.losses.append(loss.item())
            if step % BULK_EVERY == 0:
                here = torch.arange(BULK, dtype=torch.int32, device="cpu") + step
                there = here.to(self.device)
                if not torch.equal((there * 2).cpu(), here * 2):
                    raise AssertionError(f"step {step}: what came back isn't what was sent")
            yield step

    def result(self) -> dict[str, torch.Tensor]:
        """The weights, the optimizer's state and the steps that the server has done, here."""
        found = {name: value.cpu() for name, value in self.model.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            found |= {f"{i}.{name}": value.cpu() for name, value in state.items()}
        return found | {"steps": self.steps.cpu(), "losses": torch.tensor(self.losses, dtype=torch.float64)}


def trained(device: torch.device | str, steps: int) -> dict[str, torch.Tensor]:
    """What so many undisturbed steps give."""
    training = Training(device)
    for step in training.run():
        if step == steps:
            return training.result()
    raise AssertionError


def differences(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """The names of what isn't the same to the last bit."""
    return sorted(
        name
        for name in one.keys() | other.keys()
        if name not in one or name not in other or not torch.equal(one[name], other[name])
    )
