"""lightning, with the strategy and the accelerator that docs/libraries.md shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
import torch
import torchmetrics
from lightning.fabric.accelerators import CPUAccelerator as FabricCPUAccelerator
from lightning.fabric.strategies import SingleDeviceStrategy as FabricSingleDeviceStrategy
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class SkyAccelerator(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        pass


class FabricSkyAccelerator(FabricCPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        pass


class Classifier(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
        self.accuracy = torchmetrics.Accuracy("multiclass", num_classes=3)
        self.losses: list[torch.Tensor] = []

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        inputs, targets = batch
        loss = nn.functional.cross_entropy(self.network(inputs), targets)
        self.log("loss", loss)
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        inputs, targets = batch
        outputs = self.network(inputs)
        self.accuracy(outputs, targets)
        self.log("accuracy", self.accuracy)
        self.log("validation_loss", nn.functional.cross_entropy(outputs, targets))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


def loader(data: TensorDataset, *, shuffle: bool) -> DataLoader[Any]:
    # Shuffled by a generator of its own, since dropout draws from the device's.
    return DataLoader(data, batch_size=8, shuffle=shuffle, generator=torch.Generator().manual_seed(4))


def dataset() -> TensorDataset:
    return TensorDataset(torch.randn(40, 8), torch.randint(0, 3, (40,)))


def test_trainer(tmp_path: Path, same: Callable[..., None]) -> None:
    def run(device: torch.device) -> Any:
        data = dataset()
        module = Classifier()
        trainer = lightning.Trainer(
            strategy=SingleDeviceStrategy(device, accelerator=SkyAccelerator()),
            max_epochs=2, gradient_clip_val=1.0, default_root_dir=tmp_path / device.type, logger=False,
            enable_progress_bar=False, num_sanity_val_steps=0,
        )  # fmt: skip
        assert trainer.strategy.root_device == device
        torch.manual_seed(1)
        trainer.fit(module, loader(data, shuffle=True), loader(data, shuffle=False))
        trained = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        assert module.losses[0].device == device
        nn.init.zeros_(module.network[0].weight)
        path = trainer.checkpoint_callback.best_model_path
        restored = trainer.validate(module, loader(data, shuffle=False), ckpt_path=path, verbose=False)
        return module.losses, trained, dict(module.state_dict()), restored

    same(run)


def test_fabric(same: Callable[..., None]) -> None:
    def run(device: torch.device) -> Any:
        fabric = lightning.Fabric(strategy=FabricSingleDeviceStrategy(device, accelerator=FabricSkyAccelerator()))
        fabric.launch()
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
        losses = []
        for inputs, targets in fabric.setup_dataloaders(loader(dataset(), shuffle=True)):
            assert inputs.device == device
            loss = nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=1.0)
            optimizer.step()
            losses.append(loss.detach())
        return losses, dict(model.state_dict())

    same(run)
