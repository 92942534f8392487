"""A server that is far away: what comes back is the same, and what is sent is little."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import jupyter_skytorch as sky
from bench.models import gpt, mlp
from skytorch_wire import service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.link import Link
    from jupyter_skytorch import Compute


@pytest.fixture
def compute(far: Link) -> Iterator[Compute]:
    far.become(round_trip=0.03, megabits=200)
    with sky.connect(far.address, name="far", insecure=True) as compute:
        yield compute


def train(device: str | torch.device) -> Iterator[float]:
    """The losses of a training that goes on."""
    torch.manual_seed(0)
    model = mlp().to(device)
    optimizer = torch.optim.Adam(model.parameters())
    images, labels = torch.randn(16, 784).to(device), torch.randint(10, (16,)).to(device)
    while True:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def test_it_is_reached_by_a_tunnel_and_compresses(compute: Compute) -> None:
    stream = compute.session()._link._stream
    assert compute.session().way.door
    assert compute.session().way.far
    assert stream._answer.compression == service_pb2.COMPRESSION_ZSTD


def test_values_and_tokens_are_those_of_the_cpu(compute: Compute) -> None:
    device = compute.device("cpu")
    torch.testing.assert_close(list(islice(train(device), 8)), list(islice(train("cpu"), 8)))
    model = gpt(layers=2, width=32)
    here = list(model.decode(8))
    assert list(model.to(device).decode(8)) == here


def test_large_tensors_arrive_whole_both_ways(compute: Compute) -> None:
    data = torch.arange(3_000_000, dtype=torch.int32)
    sent = data.to(compute.device("cpu"))
    total = sent.sum()
    assert torch.equal((sent + 1).cpu(), data + 1)
    assert total.item() == data.sum().item()


def test_a_loop_sends_a_fraction_of_its_records(compute: Compute, far: Link) -> None:
    device = compute.device("cpu")
    losses = train(device)
    list(islice(losses, 3))
    sent, records = far.counts().up, compute.session().counters().bytes_up
    list(islice(losses, 30))
    assert far.counts().up - sent < (compute.session().counters().bytes_up - records) / 2


def test_many_ops_pass_without_a_wait(compute: Compute, far: Link) -> None:
    far.become(round_trip=0.1)
    device = compute.device("cpu")
    x = torch.zeros(4, device=device)
    for _ in range(20_000):
        x = x + 1
    assert x.tolist() == [20_000.0] * 4
    assert compute.session().counters().sync_points == 1
