"""What a user hears when something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from jupyter_skytorch import device

if TYPE_CHECKING:
    from collections.abc import Callable


def test_wrong_shapes_are_told_at_once_in_pytorchs_words(sky: torch.device) -> None:
    a = torch.zeros(2, 3, device=sky)
    with pytest.raises(RuntimeError, match=r"The size of tensor a [(]3[)] must match"):
        a + torch.zeros(2, 4, device=sky)
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        a @ a
    assert a.sum().item() == 0


def test_mixed_devices_are_told_at_once(sky: torch.device) -> None:
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        torch.zeros(2, 2, device=sky) @ torch.zeros(2, 2)


def test_what_only_the_server_knows_is_raised_once_at_the_next_sync_point(sky: torch.device) -> None:
    table = torch.zeros(4, 2, device=sky)
    picked = table[torch.tensor([9], device=sky)]
    good = table + 1
    with pytest.raises(IndexError, match=r"index 9 is out of bounds.*\n\[aten::index.Tensor_out on local\]"):
        good.cpu()
    assert good.sum().item() == 8
    later = picked + 1  # depends on what failed
    with pytest.raises(IndexError, match="index 9 is out of bounds"):
        later.cpu()
    assert good.sum().item() == 8


def test_overwriting_what_failed_heals_it(sky: torch.device) -> None:
    table = torch.zeros(4, 2, device=sky)
    picked = table[torch.tensor([9], device=sky)]
    picked.zero_()
    with pytest.raises(IndexError):
        torch.sky.synchronize()
    assert picked.tolist() == [[0, 0]]


def test_a_failed_question_is_answered_with_its_error(sky: torch.device) -> None:
    singular = torch.zeros(3, 3, device=sky)
    inverse = torch.linalg.inv_ex(singular)[0]
    assert inverse.shape == (3, 3)
    with pytest.raises(torch.linalg.LinAlgError, match="singular"):
        torch.linalg.inv(singular).cpu()
    assert torch.ones(2, device=sky).sum().item() == 2


def test_too_much_memory_is_told_and_leaves_the_rest_usable(sky: torch.device) -> None:
    huge = torch.empty(1 << 50, device=sky)
    huge.fill_(1)
    with pytest.raises(RuntimeError, match="memory"):
        torch.sky.synchronize()
    del huge
    assert torch.ones(2, device=sky).sum().item() == 2


def test_without_a_device_there_is_advice() -> None:
    import subprocess
    import sys

    code = (
        "import jupyter_skytorch.device, torch\ntry: torch.zeros(1, device='sky')\nexcept RuntimeError as e: print(e)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "there is no sky device yet: run %sky connect" in told.stdout


def test_views_that_reach_outside_their_storage_are_refused(sky: torch.device) -> None:
    with pytest.raises(RuntimeError, match="out of bounds"):
        torch.zeros(4, device=sky).as_strided((8,), (1,))


def test_an_error_names_the_op_and_the_line_that_issued_it(sky: torch.device) -> None:
    table = torch.zeros(4, device=sky)
    device.core.set_place(12, 3)
    table[torch.tensor([9], device=sky)]
    device.core.set_place(20, 3)
    with pytest.raises(IndexError, match=r"\[aten::index.Tensor_out on local, cell 3, line 12\]"):
        torch.sky.synchronize()
    device.core.set_place(0, 0)
    torch.sky.synchronize()


def test_each_error_is_raised_once_oldest_first(sky: torch.device) -> None:
    table = torch.zeros(4, device=sky)
    failed = [table[torch.tensor([number], device=sky)] for number in (50, 60, 70)]
    for number in (50, 60, 70):
        with pytest.raises(IndexError, match=f"index {number} is out of bounds"):
            torch.sky.synchronize()
    torch.sky.synchronize()
    for number, tensor in zip((50, 60, 70), failed, strict=True):
        for _ in range(2):
            with pytest.raises(IndexError, match=f"index {number} is out of bounds"):
                tensor.cpu()
        tensor.fill_(number)
        assert tensor.item() == number


HEALS: dict[str, Callable[[torch.Tensor], object]] = {
    "fill_": lambda x: x.fill_(5),
    "copy_ from the cpu": lambda x: x.copy_(torch.full((2,), 5.0)),
    "copy_ on sky": lambda x: x.copy_(torch.full((2,), 5.0, device=x.device)),
    "out=": lambda x: torch.full((2,), 5.0, out=x),
    "storage": lambda x: x.untyped_storage().copy_(torch.full((2,), 5.0).untyped_storage()),
}


@pytest.mark.parametrize("way", HEALS)
def test_whatever_overwrites_all_of_it_heals(way: str, sky: torch.device) -> None:
    poisoned = torch.zeros(4, device=sky)[torch.tensor([9, 9], device=sky)]
    with pytest.raises(IndexError):
        torch.sky.synchronize()
    poisoned[0] = 5
    with pytest.raises(IndexError):
        poisoned.cpu()
    HEALS[way](poisoned)
    assert poisoned.tolist() == [5, 5]


def test_a_storage_that_cannot_grow_is_poisoned_alone(sky: torch.device) -> None:
    x, good = torch.ones(4, device=sky) + 1, torch.ones(4, device=sky)
    x.resize_(1 << 50)
    with pytest.raises(RuntimeError, match="memory"):
        torch.sky.synchronize()
    with pytest.raises(RuntimeError, match="memory"):
        x[:2].cpu()
    assert good.sum().item() == 4
