"""Where a program waits for the server: where it needs a value, and not for shapes that follow from shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_skytorch import Compute

NORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "layer_norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "group_norm": lambda x: F.group_norm(x, 2),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_norms_ask_once_at_most(
    norm: str, transposed: bool, dtype: torch.dtype, sky: torch.device, compute: Compute
) -> None:
    torch.manual_seed(0)
    here = torch.randn(3, 4, 5, 6, dtype=dtype)
    if transposed:
        here = here.transpose(2, 3)
    there = here.to(sky).requires_grad_()
    here.requires_grad_()
    NORMS[norm](there).pow(3).sum().backward()
    before = compute.session().counters().sync_points
    result = NORMS[norm](there)
    result.pow(3).sum().backward()
    assert compute.session().counters().sync_points == before
    expected = NORMS[norm](here)
    expected.pow(3).sum().backward()
    assert result.stride() == expected.stride()
    torch.testing.assert_close(result.cpu(), expected)
    torch.testing.assert_close(there.grad.cpu(), 2 * here.grad, rtol=1e-2, atol=1e-2)
