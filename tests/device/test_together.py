"""Tensors that are read one by one, where it is known that they will be, take one round trip."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_skytorch import Compute


def model() -> torch.nn.Module:
    return torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(8)), torch.nn.BatchNorm1d(4))


def saved(thing: object) -> object:
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, map_location="cpu")


READS: dict[str, Callable[[torch.nn.Module], object]] = {
    "module.cpu()": lambda module: module.cpu().state_dict(),
    "module.to('cpu')": lambda module: module.to("cpu").state_dict(),
    "module.to('cpu', float64)": lambda module: module.to("cpu", torch.float64).float().state_dict(),
    "torch.save": lambda module: saved(module.state_dict()),
    "torch.save of views": lambda module: saved(
        {key: value[:1] for key, value in module.state_dict().items() if value.dim()}
    ),
}


@pytest.mark.parametrize("read", READS)
def test_many_tensors_take_one_round_trip(read: str, compute: Compute, sky: torch.device) -> None:
    local = model()
    expected = READS[read](local)
    remote = model()
    remote.load_state_dict(local.state_dict())
    remote.to(sky)
    before = compute.session().counters().sync_points
    found = READS[read](remote)
    assert compute.session().counters().sync_points == before + 1
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_what_changes_meanwhile_is_read_again(sky: torch.device) -> None:
    class Restless(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Parameter(torch.zeros(3))
            self.second = torch.nn.Parameter(torch.zeros(3))
            self.third = torch.nn.Parameter(torch.zeros(3))

        def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> torch.nn.Module:
            with torch.no_grad():
                if self.second.device.type == "sky":
                    self.second.copy_(torch.ones(3))
                    self.third += 2
            return super()._apply(fn, recurse)

    module = Restless().to(sky).cpu()
    assert [parameter.tolist() for parameter in module.parameters()] == [[0] * 3, [1] * 3, [2] * 3]


def test_an_error_of_one_tensor_is_its_own(sky: torch.device) -> None:
    bad = torch.arange(3, device=sky)[torch.tensor([7], device=sky)]
    good = torch.ones(3, device=sky)
    with pytest.raises(IndexError):
        torch.save({"good": good, "bad": bad}, io.BytesIO())
    assert good.tolist() == [1, 1, 1]
    assert torch.equal(saved({"one": good, "two": good + 1})["two"], torch.full((3,), 2.0))
