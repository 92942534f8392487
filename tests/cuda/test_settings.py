"""On a machine with a GPU: settings and memory of a server's CUDA device are those of local CUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import jupyter_skytorch as sky

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine")

MIB = 1 << 20


@pytest.fixture(scope="module")
def device() -> Iterator[torch.device]:
    """The GPU of an embedded server on this machine."""
    with sky.connect() as connected:
        yield connected.device("cuda", 0)


def test_tf32_is_switched_there_as_here(device: torch.device) -> None:
    x = torch.randn(512, 512)
    found = {}
    for allowed in (False, True, False):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        there = x.to(device) @ x.to(device)
        here = x.to("cuda") @ x.to("cuda")
        assert torch.equal(there.cpu(), here.cpu())
        found[allowed] = there.cpu()
    if torch.cuda.get_device_capability() >= (8, 0):
        assert not torch.equal(found[False], found[True])


def test_an_op_without_a_deterministic_implementation_is_named(device: torch.device) -> None:
    x = torch.randn(100, device=device)
    torch.use_deterministic_algorithms(mode=True)
    try:
        found = torch.kthvalue(x, 3).values
    finally:
        torch.use_deterministic_algorithms(mode=False)
    with pytest.raises(RuntimeError, match="kthvalue CUDA does not have a deterministic implementation"):
        found.item()
    assert torch.kthvalue(x, 3).values.item() == torch.kthvalue(x.cpu(), 3).values.item()


def test_cudnn_flags_are_taken(device: torch.device) -> None:
    images, weights = torch.randn(4, 3, 32, 32, device=device), torch.randn(8, 3, 3, 3, device=device)
    results = []
    for enabled in (True, False):
        with torch.backends.cudnn.flags(enabled=enabled, benchmark=True, deterministic=True, allow_tf32=False):
            results.append(torch.conv2d(images, weights).cpu())
    torch.testing.assert_close(*results)


def test_memory_is_what_the_caching_allocator_says(device: torch.device) -> None:
    before = torch.sky.memory_allocated(device)
    torch.sky.reset_peak_memory_stats(device)
    x = torch.zeros(64 * MIB, dtype=torch.uint8, device=device)
    assert torch.sky.memory_allocated(device) == before + 64 * MIB
    assert torch.sky.memory_reserved(device) >= torch.sky.memory_allocated(device)
    del x
    assert torch.sky.memory_allocated(device) == before
    assert torch.sky.max_memory_allocated(device) >= before + 64 * MIB
    held = torch.sky.memory_reserved(device)
    torch.sky.empty_cache()
    assert torch.sky.memory_reserved(device) <= held - 64 * MIB
    assert torch.sky.mem_get_info(device)[1] == torch.cuda.mem_get_info()[1]
