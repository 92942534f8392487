"""Bytes arrive as they left, whatever their size, layout and type."""

from __future__ import annotations

import pytest
import torch


@pytest.mark.parametrize("count", [0, 1, 4096, 4097, 1 << 20, 5_000_001])
def test_any_size_travels(count: int, sky: torch.device) -> None:
    data = torch.arange(count, dtype=torch.float32)
    assert torch.equal(data.to(sky).cpu(), data)


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool, torch.complex64],
)
def test_any_type_travels(dtype: torch.dtype, sky: torch.device) -> None:
    data = torch.arange(-8, 8).to(dtype)
    there = data.to(sky)
    assert there.dtype == dtype
    assert torch.equal(there.cpu(), data)


def test_layouts_and_conversions(sky: torch.device) -> None:
    data = torch.arange(12.0).reshape(3, 4)
    assert torch.equal(data.t().to(sky).cpu(), data.t())
    assert torch.equal(data.to(sky, torch.float16).cpu(), data.half())
    target = torch.zeros(4, 3, device=sky)
    target.t().copy_(data)
    assert torch.equal(target.cpu(), data.t())
    target[1:3, ::2] = torch.ones(2, 2, dtype=torch.int64)
    assert target[1].tolist() == [1, 5, 1]
    target.copy_(torch.tensor(5.0))
    assert target.unique().tolist() == [5]
    assert torch.equal((data * 1j).conj().to(sky).cpu(), (data * 1j).conj())


def test_the_source_may_change_at_once(sky: torch.device) -> None:
    source = torch.ones(3_000_000)
    there = source.to(sky)
    source.zero_()
    assert there.min().item() == 1


def test_tensors_that_were_never_written_can_be_read(sky: torch.device) -> None:
    assert torch.empty(3, 2, device=sky).cpu().shape == (3, 2)
