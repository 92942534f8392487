"""A sky tensor prints as a CPU tensor does, with its device, and costs one sync point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_skytorch import Compute

SHAPES = [(), (0,), (3,), (2, 0, 3), (2, 3), (1100,), (50, 40), (7, 7, 30), (6, 2, 200), (3, 4, 5, 40)]
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn]


def without_device(text: str) -> str:
    return "".join(text.split()).replace(",device='sky:0'", "")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_any_shape_and_type(dtype: torch.dtype, compute: Compute, sky: torch.device) -> None:
    torch.manual_seed(0)
    for shape in SHAPES:
        here = (torch.randn(shape, dtype=torch.complex64) if dtype.is_complex else torch.randn(shape) * 3).to(dtype)
        there = here.to(sky)
        before = compute.session().counters().sync_points
        text = repr(there)
        assert compute.session().counters().sync_points - before == (1 if here.numel() else 0)
        assert f"device='{sky}'" in text
        assert without_device(text.replace(str(sky), "sky:0")) == without_device(repr(here))


SPECIAL: dict[str, Callable[[torch.device], object]] = {
    "nan and inf": lambda d: torch.tensor([float("nan"), float("inf"), -1e-30], device=d),
    "requires grad": lambda d: torch.ones(2, device=d, requires_grad=True),
    "grad_fn": lambda d: torch.ones(2, device=d, requires_grad=True) * 2,
    "parameter": lambda d: torch.nn.Parameter(torch.ones(2, device=d)),
    "in a list": lambda d: [torch.ones(2, device=d), {"a": torch.zeros(1, device=d)}],
    "conjugate": lambda d: torch.tensor([1 + 2j, 3 - 1j], device=d).conj(),
    "negative": lambda d: torch.tensor([1 + 2j], device=d).conj().imag,
    "transposed": lambda d: torch.arange(6, device=d).reshape(2, 3).t(),
    "expanded": lambda d: torch.ones(1, device=d).expand(3, 4),
    "state dict": lambda d: torch.nn.BatchNorm1d(2, device=d).state_dict(),
    "inside vmap": lambda d: torch.func.vmap(lambda row: (repr(row), row)[1])(torch.ones(2, 3, device=d)),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_tensors(name: str, sky: torch.device) -> None:
    text = repr(SPECIAL[name](sky)).replace(str(sky), "sky:0")
    assert without_device(text) == without_device(repr(SPECIAL[name](torch.device("cpu"))))


def test_options_are_kept_and_huge_tensors_stay_where_they_are(compute: Compute, sky: torch.device) -> None:
    huge = torch.zeros(10_000, 10_000, device=sky)
    huge[0, 0] = 7
    before = compute.session().counters()
    with torch._tensor_str.printoptions(edgeitems=1):
        text = repr(huge)
    after = compute.session().counters()
    assert " ".join(text.split()).startswith("tensor([[7., ..., 0.], ..., [0., ..., 0.]]")
    assert after.bytes_down - before.bytes_down < 1000
    assert torch._tensor_str.PRINT_OPTS.threshold == 1000


def test_what_has_no_values_prints_without_them(sky: torch.device) -> None:
    fake = FakeTensorMode().from_tensor(torch.ones(3, device=sky))
    assert repr(fake) == f"FakeTensor(..., device='{sky}', size=(3,))"
    assert "device='sky" in f"{torch.ones(2, device=sky)}"
    assert f"{torch.ones(1, device=sky)[0]:.2f}" == "1.00"


def test_storages_print_with_one_sync_point(compute: Compute, sky: torch.device) -> None:
    storage = torch.arange(3, device=sky, dtype=torch.uint8).untyped_storage()
    before = compute.session().counters().sync_points
    assert repr(storage) == f" 0\n 1\n 2\n[torch.storage.UntypedStorage(device={sky}) of size 3]"
    assert storage.tolist() == [0, 1, 2]
    assert compute.session().counters().sync_points - before == 2
