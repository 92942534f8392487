"""The networks that the groups measure with: small, plain torch.nn, at torch's own initial values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADS = 4


def mlp() -> nn.Module:
    """784-128-10, for images of 28 x 28 pixels, flattened, and ten classes."""
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn() -> nn.Module:
    """Two convolutions and a linear layer, for images (1, 28, 28) and ten classes."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 12 * 12, 10),
    )


def transformer(layers: int = 4, width: int = 64) -> nn.Module:
    """A stack of pre-norm transformer blocks, from (batch, length, width) to the same."""
    return nn.Sequential(*(Block(width) for _ in range(layers)))


def gpt(layers: int = 4, width: int = 128, *, heads: int = _HEADS, vocabulary: int = 256, context: int = 256) -> GPT:
    """A decoder-only language model that keeps the keys and values of what it has seen."""
    return GPT(layers, width, heads, vocabulary, context)


def gpt2_small() -> GPT:
    """As deep and wide as the smallest GPT-2."""
    return gpt(12, 768, heads=12, vocabulary=50_257, context=1024)


class Block(nn.Module):
    """Self-attention and a feed-forward network, each after a norm and beside a residual."""

    def __init__(self, width: int, heads: int = _HEADS) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor, *, causal: bool = False) -> torch.Tensor:
        """(batch, length, width) to the same; every place sees every other, or those before it."""
        query, key, value = self._split(x)
        return self._join(x, F.scaled_dot_product_attention(query, key, value, is_causal=causal))

    def step(self, x: torch.Tensor, cache: tuple[torch.Tensor, torch.Tensor], position: int) -> torch.Tensor:
        """One more place, (batch, 1, width) to the same; what it is attended by later goes into the cache."""
        query, key, value = self._split(x)
        keys, values = cache
        keys[:, :, position : position + 1] = key
        values[:, :, position : position + 1] = value
        seen = position + 1
        return self._join(x, F.scaled_dot_product_attention(query, keys[:, :, :seen], values[:, :, :seen]))

    def _split(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Query, key and value, each (batch, heads, length, width / heads)."""
        batch, length, width = x.shape
        parts = self.project_in(self.attention_norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        return iter(parts.permute(2, 0, 3, 1, 4).unbind(0))

    def _join(self, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        x = x + self.project_out(attended.transpose(1, 2).flatten(2))
        return x + self.feed_forward(x)


class GPT(nn.Module):
    """Embeddings of tokens and places, blocks, and an output layer."""

    def __init__(self, layers: int, width: int, heads: int, vocabulary: int, context: int) -> None:
        super().__init__()
        self.heads = heads
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def caches(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Empty caches for one text: of each block, keys and values (1, heads, context, width / heads)."""
        context, width = self.positions.weight.shape
        shape = (1, self.heads, context, width // self.heads)
        return [(self.norm.weight.new_zeros(shape), self.norm.weight.new_zeros(shape)) for _ in self.blocks]

    def forward(
        self, token: torch.Tensor, caches: list[tuple[torch.Tensor, torch.Tensor]], position: int
    ) -> torch.Tensor:
        """The scores (1, 1, vocabulary) of what follows `token` (1, 1), which is at `position`."""
        x = self.tokens(token) + self.positions.weight[position]
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block.step(x, cache, position)
        scores: torch.Tensor = self.head(self.norm(x))
        return scores

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """The scores (batch, length, vocabulary) of what follows each place of `tokens` (batch, length)."""
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, causal=True)
        scores: torch.Tensor = self.head(self.norm(x))
        return scores

    @torch.inference_mode()
    def decode(self, tokens: int) -> Iterator[int]:
        """Greedily writes so many tokens, each of which is read (one `.item()`) as soon as it is asked for."""
        token = torch.zeros(1, 1, dtype=torch.int64, device=self.norm.weight.device)
        caches = self.caches()
        for position in range(tokens):
            token = self(token, caches, position).argmax(-1)
            yield int(token.item())
