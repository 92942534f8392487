"""einops: every operation, with gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import einops
import pytest
import torch
from einops.layers.torch import EinMix, Rearrange, Reduce
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "rearrange": lambda x: einops.rearrange(x, "b c (h p) (w q) -> b (h w) (p q c)", p=2, q=2),
    "rearrange a list": lambda x: einops.rearrange(list(x), "b c h w -> c (b h) w"),
    "mean": lambda x: einops.reduce(x, "b c (h p) (w q) -> b c h w", "mean", p=2, q=4),
    "max": lambda x: einops.reduce(x, "b c h w -> b c", "max"),
    "prod": lambda x: einops.reduce(x, "b c h w -> b 1 h w", "prod"),
    "logsumexp": lambda x: einops.reduce(x, "b c h w -> h w", torch.logsumexp),
    "repeat": lambda x: einops.repeat(x, "b c h w -> b c (h two) (w three)", two=2, three=3),
    "einsum": lambda x: einops.einsum(x, x, "b c h w, b d h w -> b c d"),
    "pack": lambda x: einops.pack([x, x[:, 0]], "b * w")[0],
    "unpack": lambda x: torch.cat(einops.unpack(x.flatten(1), [[3, 4], [84]], "b *")[1:], 1),
}
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "patches": lambda: nn.Sequential(
        Rearrange("b c (h p) (w q) -> b (h w) (p q c)", p=2, q=4), nn.Linear(24, 5), Reduce("b n d -> b d", "mean")
    ),
    "mix": lambda: EinMix("b c h w -> b h w d", weight_shape="c d", bias_shape="d", c=3, d=5),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name: str, same: Callable[..., None]) -> None:
    def run(device: torch.device) -> Any:
        x = torch.randn(2, 3, 4, 8).to(device).requires_grad_()
        result = OPERATIONS[name](x)
        (result * torch.randn(result.shape).to(device)).sum().backward()
        return result, x.grad

    same(run)


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, same: Callable[..., None]) -> None:
    def run(device: torch.device) -> Any:
        layer = LAYERS[name]().to(device)
        result = layer(torch.randn(2, 3, 4, 8).to(device))
        result.square().sum().backward()
        return result, [parameter.grad for parameter in layer.parameters()]

    same(run)
