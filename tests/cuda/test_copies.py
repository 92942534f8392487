"""On a machine with a GPU: tensors between two Computes, from and to CUDA devices."""

from __future__ import annotations

import pytest
import torch

import jupyter_skytorch as sky
from jupyter_skytorch.session import take_detours

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine")


def test_tensors_between_computes() -> None:
    take_detours()
    with sky.connect("local", name="one") as one, sky.connect("local", name="other") as other:
        x = torch.randn(3000, 4001)
        for source in (one.device("cuda"), one.device("cpu")):
            for target in (other.device("cuda"), other.device("cpu")):
                there = x.to(source).t()
                copy = there.to(target)
                there.zero_()
                assert torch.equal(copy.cpu(), x.t())
        assert take_detours() == []
