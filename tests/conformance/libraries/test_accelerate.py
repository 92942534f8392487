"""accelerate: a training loop with accumulated gradients, clipping, and its state saved and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path


def test_a_training_loop(
    tmp_path: Path, told: Callable[[torch.device], AbstractContextManager[None]], same: Callable[..., None]
) -> None:
    def run(device: torch.device) -> Any:
        with told(device):
            return train(device)

    def train(device: torch.device) -> Any:
        accelerator = Accelerator(gradient_accumulation_steps=2)
        assert accelerator.device == device
        set_seed(3)
        data = TensorDataset(torch.randn(40, 8), torch.randint(0, 3, (40,)))
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
        # Shuffled by a generator of its own, since dropout draws from the device's.
        loader = DataLoader(data, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(4))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer)
        model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
        set_seed(5)
        losses = []
        for _ in range(2):
            for inputs, targets in loader:
                with accelerator.accumulate(model):
                    loss = nn.functional.cross_entropy(model(inputs), targets)
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    schedule.step()
                    optimizer.zero_grad()
                    losses.append(accelerator.gather(loss.detach()))
        trained = [parameter.detach().clone() for parameter in model.parameters()]
        drawn = torch.rand(3, device=device)
        state = tmp_path / device.type
        accelerator.save_state(str(state))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        accelerator.load_state(str(state))
        restored = [parameter.detach() for parameter in accelerator.unwrap_model(model).parameters()]
        assert all(torch.equal(one, other) for one, other in zip(trained, restored, strict=True))
        return losses, trained, drawn

    same(run)


def test_mixed_precision(
    told: Callable[[torch.device], AbstractContextManager[None]], same: Callable[..., None]
) -> None:
    def run(device: torch.device) -> Any:
        with told(device):
            accelerator = Accelerator(mixed_precision="bf16")
            model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
            inner: list[torch.dtype] = []
            model[0].register_forward_hook(lambda _module, _inputs, output: inner.append(output.dtype))
            prepared = accelerator.prepare(model)
            loss = prepared(torch.randn(4, 8).to(accelerator.device)).square().mean()
            accelerator.backward(loss)
            assert inner == [torch.bfloat16]
            return loss, [parameter.grad for parameter in model.parameters()]

    same(run, rtol=2e-2, atol=1e-3)
