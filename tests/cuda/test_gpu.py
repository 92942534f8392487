"""On a machine with a GPU: what runs on a server's CUDA device is what local CUDA does."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import jupyter_skytorch as sky

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_skytorch.compute import Compute

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine")


@pytest.fixture(scope="module")
def compute() -> Iterator[Compute]:
    """An embedded server on this machine."""
    with sky.connect() as connected:
        yield connected


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The losses of 30 steps."""
    optimizer = torch.optim.AdamW(model.parameters())
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).cpu()


def test_the_servers_gpu_is_the_default_device(compute: Compute) -> None:
    assert "cuda" in {device.type for device in compute.session().devices}
    x = torch.arange(6.0, device=compute.device()).reshape(2, 3)
    assert torch.equal((x @ x.T).cpu(), torch.tensor([[5.0, 14.0], [14.0, 50.0]]))


def test_a_network_trains_as_on_local_cuda(compute: Compute) -> None:
    torch.manual_seed(0)
    initial = nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 12 * 12, 10),
    )
    images, labels = torch.randn(64, 1, 28, 28), torch.randint(10, (64,))
    remote_device = compute.device("cuda", 0)
    remote = train(copy.deepcopy(initial).to(remote_device), images.to(remote_device), labels.to(remote_device))
    local = train(copy.deepcopy(initial).to("cuda"), images.to("cuda"), labels.to("cuda"))
    # The two processes may choose other algorithms for a convolution, in TensorFloat-32 as is CUDA's default.
    torch.testing.assert_close(remote, local, rtol=2e-2, atol=2e-2)
    assert remote[-1] < remote[0] / 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_survives_the_way_there_and_back(compute: Compute, dtype: torch.dtype) -> None:
    x = torch.randn(257, 129).to(dtype)
    assert torch.equal(x.to(compute.device("cuda", 0)).cpu(), x)


def test_the_gpus_metrics_are_told(compute: Compute) -> None:
    names = {metric.name for metric in compute.metrics()}
    assert {"gpu.utilization", "gpu.memory.used"} <= names
