"""Every module of torch.nn gives on sky what it gives on the CPU: PyTorch's own test inputs, forward and backward.

Some samples of each module, or all of them where SKYTORCH_ALL_SAMPLES is set.
"""

from __future__ import annotations

import copy
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.testing._internal.common_modules import ModuleInfo, module_db
from torch.utils._pytree import tree_leaves, tree_map

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = None if "SKYTORCH_ALL_SAMPLES" in os.environ else 2


def moved(values: Any, device: torch.device) -> Any:
    """Copies of the tensors in `values`, as leaves, on the device."""

    def move(value: Any) -> Any:
        return value.detach().to(device).requires_grad_(value.requires_grad) if torch.is_tensor(value) else value

    return tree_map(move, values)


def run(module: nn.Module, arguments: Any, device: torch.device) -> dict[str, Any]:
    """What comes out of a module, the gradients, and what became of its buffers."""
    arguments, keywords = moved(arguments, device)
    torch.manual_seed(3)
    outputs = [leaf for leaf in tree_leaves(module(*arguments, **keywords)) if torch.is_tensor(leaf)]
    differentiable = [output for output in outputs if output.requires_grad]
    if differentiable:
        generator = torch.Generator().manual_seed(4)
        weights = [torch.randn(o.shape, dtype=o.dtype, generator=generator).to(device) for o in differentiable]
        torch.autograd.backward(differentiable, weights)
    inputs = [leaf for leaf in tree_leaves((arguments, keywords)) if torch.is_tensor(leaf)]
    return {
        "outputs": outputs,
        "gradients": [leaf.grad for leaf in [*inputs, *module.parameters()]],
        "buffers": dict(module.named_buffers()),
    }


def samples(info: ModuleInfo, *, training: bool) -> Iterator[Any]:
    torch.manual_seed(1)
    inputs = info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=True, training=training)
    yield from itertools.islice((i for i in inputs if i.forward_input is not None), SAMPLES)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluating"])
@pytest.mark.parametrize("info", module_db, ids=lambda info: info.name)
def test_module(info: ModuleInfo, training: bool, sky: torch.device) -> None:
    for sample in samples(info, training=training):
        made, given = sample.constructor_input, sample.forward_input
        torch.manual_seed(2)
        here = info.module_cls(*made.args, **made.kwargs).train(training)
        if isinstance(here, nn.modules.lazy.LazyModuleMixin):
            here(*given.args, **given.kwargs)
        there = copy.deepcopy(here).to(sky)
        try:
            expected = run(here, (given.args, given.kwargs), torch.device("cpu"))
        except RuntimeError as error:
            # Samples of fractional pooling have numbers of their own, of another type.
            assert "Expect _random_samples to have the same dtype" in str(error)  # noqa: PT017
            continue
        found = run(there, (given.args, given.kwargs), sky)
        assert {leaf.device for leaf in tree_leaves(found) if torch.is_tensor(leaf)} <= {sky}
        torch.testing.assert_close(
            moved(found, torch.device("cpu")),
            moved(expected, torch.device("cpu")),
            rtol=1e-4,
            atol=5e-5,
            equal_nan=True,
            msg=lambda message, desc=sample.desc: f"{desc}: {message}",
        )


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluating"])
def test_an_encoder_with_padding(training: bool, sky: torch.device) -> None:
    """On the CPU a padded batch becomes a nested tensor where nothing is trained. On sky the padding is masked."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    here = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8)).train(training)
    there = copy.deepcopy(here).to(sky)
    x, padding = torch.randn(3, 5, 8), torch.arange(5) >= torch.tensor([[5], [3], [4]])
    with torch.set_grad_enabled(training):
        expected = here(x, src_key_padding_mask=padding)
        found = there(x.to(sky), src_key_padding_mask=padding.to(sky))
    torch.testing.assert_close(found.detach().cpu()[~padding], expected.detach()[~padding], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recurrent", [nn.LSTM, nn.GRU, nn.RNN])
def test_packed_sequences(recurrent: type[nn.RNNBase], sky: torch.device) -> None:
    torch.manual_seed(0)
    here = recurrent(4, 6, num_layers=2, bidirectional=True)
    there = copy.deepcopy(here).to(sky)
    x, lengths = torch.randn(5, 3, 4), torch.tensor([2, 5, 3])
    results = []
    for module, device in ((here, torch.device("cpu")), (there, sky)):
        packed = nn.utils.rnn.pack_padded_sequence(x.to(device), lengths, enforce_sorted=False)
        output, state = module(packed)
        padded, _ = nn.utils.rnn.pad_packed_sequence(output)
        padded.pow(2).sum().backward()
        results.append(moved([padded, state, [p.grad for p in module.parameters()]], torch.device("cpu")))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recurrent", [nn.LSTM, nn.GRU])
def test_recurrent_networks_differentiate_twice(recurrent: type[nn.RNNBase], sky: torch.device) -> None:
    torch.manual_seed(0)
    here = recurrent(3, 4)
    results = []
    for module, device in ((here, torch.device("cpu")), (copy.deepcopy(here).to(sky), sky)):
        x = torch.linspace(-1, 1, 18).view(3, 2, 3).to(device).requires_grad_()
        (slope,) = torch.autograd.grad(module(x)[0].sin().sum(), x, create_graph=True)
        slope.pow(2).sum().backward()
        results.append(moved([slope, x.grad, [p.grad for p in module.parameters()]], torch.device("cpu")))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
