"""A module that was moved is the module that it was: the same parameters, elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 5)
        self.head = nn.Linear(5, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens))


@pytest.mark.parametrize("back", [False, True])
def test_tied_weights_stay_tied(back: bool, sky: torch.device) -> None:
    model = Tied().to(sky)
    if back:
        model.cpu()
    device = torch.device("cpu") if back else sky
    assert model.head.weight is model.embedding.weight
    model(torch.arange(3, device=device)).sum().backward()
    assert model.embedding.weight.grad.device == device
    here = Tied()
    here.load_state_dict({name: tensor.cpu() for name, tensor in model.state_dict().items()})
    here(torch.arange(3)).sum().backward()
    torch.testing.assert_close(model.head.weight.grad.cpu(), here.head.weight.grad)


def test_an_optimizer_made_before_the_move_steps_the_moved_parameters(sky: torch.device) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(torch.ones(1, 3)).sum().backward()
    model.to(sky)
    assert model.weight.grad.device == sky
    before = model.weight.detach().cpu()
    optimizer.step()
    torch.testing.assert_close(model.weight.detach().cpu(), before - 1)


def test_data_may_be_replaced_by_data_elsewhere(sky: torch.device) -> None:
    held = nn.Parameter(torch.ones(3))
    held.data = torch.full((4,), 2.0, device=sky)
    (held * held).sum().backward()
    assert held.grad.device == sky
    assert held.grad.tolist() == [4.0] * 4
    with pytest.raises(RuntimeError, match="incompatible tensor type"):
        held.data = torch.eye(2).to_sparse()
