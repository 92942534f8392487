"""Random numbers are the server's, repeatable, and with a CPU server the very ones of the CPU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812


def test_a_seed_gives_the_cpus_numbers(sky: torch.device) -> None:
    torch.manual_seed(7)
    there = [torch.randn(5, device=sky), torch.rand(3, device=sky), torch.randperm(9, device=sky)]
    torch.manual_seed(7)
    here = [torch.randn(5), torch.rand(3), torch.randperm(9)]
    for one, other in zip(there, here, strict=True):
        assert torch.equal(one.cpu(), other)


def test_the_state_can_be_kept_and_given_back(sky: torch.device) -> None:
    state = torch.sky.get_rng_state()
    first = F.dropout(torch.ones(100, device=sky))
    torch.sky.set_rng_state(state)
    assert torch.equal(F.dropout(torch.ones(100, device=sky)).cpu(), first.cpu())


def test_generators_are_independent(sky: torch.device) -> None:
    generator = torch.Generator(device=sky).manual_seed(3)
    reference = torch.Generator().manual_seed(3)
    torch.rand(10, device=sky)
    drawn = torch.rand(4, device=sky, generator=generator)
    assert torch.equal(drawn.cpu(), torch.rand(4, generator=reference))
    assert generator.device == sky
    assert generator.initial_seed() == 3


def test_a_cpu_generator_is_refused_as_by_any_other_device(sky: torch.device) -> None:
    with pytest.raises(RuntimeError, match="Expected a 'sky' device type for generator but found 'cpu'"):
        torch.rand(3, device=sky, generator=torch.Generator())


def test_fork_rng_leaves_the_state_as_it_was(sky: torch.device) -> None:
    torch.manual_seed(1)
    expected = torch.rand(2, device=sky)
    torch.manual_seed(1)
    with torch.random.fork_rng(devices=[sky.index], device_type="sky"):
        torch.rand(50, device=sky)
    assert torch.equal(torch.rand(2, device=sky).cpu(), expected.cpu())
