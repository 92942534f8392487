"""``%%sky --compile``: what the cell calls is compiled, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Kernel

TRAIN = """
import torch, torch.nn.functional as F
from torch import nn
torch.manual_seed(0)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    def forward(self, x):
        for layer in self.layers:
            x = F.relu(layer(x)) + torch.ones(4)
        return x
model = Net()
x = torch.randn(8, 4)
def train(steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item()
"""
OPS = "before = compute.session().counters().ops; model(x); print(compute.session().counters().ops - before)"


def test_modules_that_a_cell_makes_and_calls_are_compiled(connected: Kernel) -> None:
    code = "%%sky --compile" + TRAIN + "with torch.no_grad():\n    model(x)\n    " + OPS
    assert connected.ok(code).printed.split()[0] == "1"
    # Elsewhere they are as they were.
    assert int(connected.ok("%%sky\nwith torch.no_grad():\n    " + OPS).printed.split()[0]) > 1
    connected.ok(
        "assert nn.Module._compiled_call_impl is None and type(model) is Net and not vars(model).get('_orig_mod')"
    )


def test_training_compiled_gives_what_training_gives(connected: Kernel) -> None:
    plain = connected.ok("%%sky" + TRAIN + "print('loss', train(5))").printed.split()
    compiled = connected.ok("%%sky --compile" + TRAIN + "print('loss', train(5))").printed.split()
    assert abs(float(plain[1]) - float(compiled[1])) < 1e-5
    # Another such cell compiles nothing anew.
    graphs = "torch._dynamo.utils.counters['stats']['unique_graphs']"
    again = connected.ok(f"%%sky --compile\nbefore = {graphs}\ntrain(2)\nprint({graphs} - before)")
    assert again.printed.split()[0] == "0"


def test_modules_on_the_cpu_and_those_without_parameters_are_left_alone(connected: Kernel) -> None:
    code = "%%sky --compile" + TRAIN + "print(nn.Linear(2, 2, device='cpu')(torch.ones(2, device='cpu')).device.type)"
    code += "\nprint(nn.ReLU()(x).shape[0], nn.Module._compiled_call_impl)"
    assert connected.ok(code).printed.split()[:3] == ["cpu", "8", "None"]


def test_an_error_leaves_nothing_behind(connected: Kernel) -> None:
    connected.ok("%%sky" + TRAIN)
    result = connected.run("%%sky --compile\nmodel(torch.ones(3, 9))")
    assert result.status == "error"
    assert "9" in result.traceback
    connected.ok("assert nn.Module._compiled_call_impl is None")
