"""Random numbers are the server's, repeatable, and with a CPU server the very ones of the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import distributions, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[[torch.device], torch.Tensor]


def ones(device: torch.device, *shape: int) -> torch.Tensor:
    return torch.ones(shape or (6, 40), device=device)


def halves(device: torch.device) -> torch.Tensor:
    return torch.full((6, 40), 0.5, device=device)


DRAWS: dict[str, Draw] = {
    "rand": lambda d: torch.rand(5, 7, device=d),
    "rand of a half": lambda d: torch.rand(40, device=d, dtype=torch.bfloat16),
    "randn": lambda d: torch.randn(5, 7, device=d),
    "randn of a double": lambda d: torch.randn(40, device=d, dtype=torch.double),
    "randn of a complex": lambda d: torch.randn(9, device=d, dtype=torch.complex64),
    "randint": lambda d: torch.randint(-4, 90, (33,), device=d),
    "randperm": lambda d: torch.randperm(77, device=d),
    "rand_like": lambda d: torch.rand_like(ones(d)),
    "randn_like": lambda d: torch.randn_like(ones(d)),
    "randint_like": lambda d: torch.randint_like(ones(d), 9),
    "normal": lambda d: torch.normal(ones(d), halves(d)),
    "normal of numbers": lambda d: torch.normal(2.0, 3.0, (20,), device=d),
    "normal of a mean": lambda d: torch.normal(ones(d), 3.0),
    "bernoulli": lambda d: torch.bernoulli(halves(d)),
    "bernoulli of a number": lambda d: torch.bernoulli(ones(d), 0.3),
    "multinomial": lambda d: torch.multinomial(halves(d), 11),
    "multinomial, replaced": lambda d: torch.multinomial(halves(d), 90, replacement=True),
    "poisson": lambda d: torch.poisson(3 * ones(d)),
    "binomial": lambda d: torch.binomial(9 * ones(d), halves(d)),
    "gamma": lambda d: torch._standard_gamma(ones(d)),
    "dirichlet": lambda d: torch._sample_dirichlet(ones(d)),
    "dropout": lambda d: F.dropout(ones(d), 0.3),
    "dropout, small": lambda d: F.dropout(ones(d, 3), 0.3),
    "dropout of channels": lambda d: F.dropout2d(ones(d, 2, 9, 3, 3)),
    "alpha dropout": lambda d: F.alpha_dropout(ones(d), training=True),
    "alpha dropout of channels": lambda d: F.feature_alpha_dropout(ones(d, 2, 9, 3), training=True),
    "rrelu": lambda d: F.rrelu(-ones(d), training=True),
    "gumbel softmax": lambda d: F.gumbel_softmax(ones(d)),
    "gumbel softmax, hard": lambda d: F.gumbel_softmax(ones(d), hard=True),
    "fractional max pool": lambda d: F.fractional_max_pool2d(torch.arange(200.0, device=d).view(1, 2, 10, 10), 2, 4),
    "attention": lambda d: F.scaled_dot_product_attention(*[ones(d, 2, 9, 8)] * 3, dropout_p=0.4),
    "lstm": lambda d: nn.LSTM(3, 4, 2, dropout=0.5, device=d)(ones(d, 5, 2, 3))[0],
    "distributions": lambda d: distributions.Beta(ones(d), halves(d)).sample(),
    "a categorical distribution": lambda d: distributions.Categorical(logits=ones(d)).sample((3,)),
}

ARGUMENTS = {"uniform_": (-1, 2), "normal_": (1, 2), "random_": (3, 70), "exponential_": (2,), "geometric_": (0.2,)}
INITS = ("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "orthogonal_")

FILLS: dict[str, Callable[[torch.Tensor], object]] = {
    **{
        name: lambda t, name=name: getattr(t, name)(*ARGUMENTS.get(name, ()))
        for name in (*ARGUMENTS, "cauchy_", "log_normal_", "bernoulli_")
    },
    **{f"init.{name}": getattr(nn.init, name) for name in INITS},
    "random_ in its whole range": lambda t: t.random_(),
    "normal_ of a view": lambda t: t[:, ::3].normal_(),
}


def filled(name: str, device: torch.device) -> torch.Tensor:
    tensor = torch.zeros(12, 20, device=device)
    FILLS[name](tensor)
    return tensor


@pytest.mark.parametrize("draw", [*DRAWS.values(), *(lambda d, n=n: filled(n, d) for n in FILLS)], ids=[*DRAWS, *FILLS])
def test_a_seed_gives_the_cpus_numbers(draw: Draw, sky: torch.device) -> None:
    torch.manual_seed(7)
    here = [draw(torch.device("cpu")) for _ in range(2)]
    torch.manual_seed(7)
    there = [draw(sky) for _ in range(2)]
    assert there[0].device == sky
    torch.testing.assert_close([one.cpu() for one in there], here)


def test_the_local_generator_is_another_one(sky: torch.device) -> None:
    state = torch.get_rng_state()
    torch.rand(100, device=sky)
    torch.sky.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_state_can_be_kept_and_given_back(sky: torch.device) -> None:
    state, states = torch.sky.get_rng_state(), torch.sky.get_rng_state_all()
    first = F.dropout(torch.ones(100, device=sky))
    torch.sky.set_rng_state(state)
    assert torch.equal(F.dropout(torch.ones(100, device=sky)).cpu(), first.cpu())
    torch.sky.set_rng_state_all(states)
    assert torch.equal(F.dropout(torch.ones(100, device=sky)).cpu(), first.cpu())
    assert (state.dtype, state.device.type) == (torch.uint8, "cpu")


def test_seeding_from_chance(sky: torch.device) -> None:
    torch.sky.manual_seed(3)
    assert torch.sky.initial_seed() == 3
    torch.sky.seed()
    first = torch.sky.initial_seed()
    torch.sky.seed_all()
    assert len({3, first, torch.sky.initial_seed()}) == 3
    assert torch.seed() == torch.sky.initial_seed()


def test_generators_are_independent(sky: torch.device) -> None:
    generator = torch.Generator(device=sky).manual_seed(3)
    reference = torch.Generator().manual_seed(3)
    torch.rand(10, device=sky)
    drawn = torch.rand(4, device=sky, generator=generator)
    assert torch.equal(drawn.cpu(), torch.rand(4, generator=reference))
    assert generator.device == sky
    assert generator.initial_seed() == 3
    assert generator.seed() == generator.initial_seed() != 3


def test_a_generators_state_can_be_kept_copied_and_given_away(sky: torch.device) -> None:
    generator = torch.Generator(device=sky).manual_seed(3)
    torch.randn(3, device=sky, generator=generator)
    state = generator.get_state()
    twin, clone = torch.Generator(device=sky), generator.clone_state()
    twin.set_state(state)
    drawn = [torch.rand(4, device=sky, generator=g).cpu() for g in (generator, twin, clone)]
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    # A state of a CPU server is one of the CPU.
    local = torch.Generator()
    local.set_state(state)
    assert torch.equal(torch.rand(4, generator=local), drawn[0])
    assert twin.initial_seed() == 3


def test_a_state_that_is_none_is_refused(sky: torch.device) -> None:
    with pytest.raises(TypeError, match="RNG state must be a torch"):
        torch.Generator(device=sky).set_state(torch.zeros(4))
    with pytest.raises(TypeError, match="RNG state must be a torch"):
        torch.sky.set_rng_state(torch.zeros(4))


def test_a_cpu_generator_is_refused_as_by_any_other_device(sky: torch.device) -> None:
    generator = torch.Generator()
    for draw in (
        lambda: torch.rand(3, device=sky, generator=generator),
        lambda: torch.randperm(3, device=sky, generator=generator),
        lambda: torch.bernoulli(halves(sky), generator=generator),
        lambda: ones(sky).normal_(generator=generator),
    ):
        with pytest.raises(RuntimeError, match="Expected a 'sky' device type for generator but found 'cpu'"):
            draw()


def test_fork_rng_leaves_the_state_as_it_was(sky: torch.device) -> None:
    torch.manual_seed(1)
    expected = torch.rand(2, device=sky)
    torch.manual_seed(1)
    with torch.random.fork_rng(devices=[sky.index], device_type="sky"):
        torch.rand(50, device=sky)
    assert torch.equal(torch.rand(2, device=sky).cpu(), expected.cpu())


def test_a_module_is_initialised_as_on_the_cpu(sky: torch.device) -> None:
    torch.manual_seed(2)
    here = nn.TransformerEncoderLayer(8, 2, 16)
    torch.manual_seed(2)
    there = nn.TransformerEncoderLayer(8, 2, 16, device=sky)
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(other.detach().cpu(), one.detach())
