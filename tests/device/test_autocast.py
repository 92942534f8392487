"""Autocast on sky casts as autocast on CUDA does, and training with it gives what the same casts give on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.amp import GradScaler, custom_bwd, custom_fwd
from torch.testing._internal.autocast_test_lists import AutocastTestLists
from torch.utils._pytree import tree_map, tree_map_only

if TYPE_CHECKING:
    from collections.abc import Iterator

LOWER = [torch.bfloat16, torch.float16]


def kernels(key: str) -> set[str]:
    names: list[str] = torch._C._dispatch_get_all_op_names()
    return {name for name in names if torch._C._dispatch_has_kernel_for_dispatch_key(name, key)}


def test_the_ops_that_cuda_casts_are_cast(sky: torch.device) -> None:
    # Those of dimensions with names are gone since torch 2.13.
    cuda = {name for name in kernels("AutocastCUDA") if "cudnn" not in name and "imname" not in name}
    assert cuda <= kernels("AutocastPrivateUse1")


def samples() -> Iterator[tuple[str, str, Any, tuple[Any, ...], dict[str, Any]]]:
    """PyTorch's own test inputs: the list that an op is in, the op, its arguments."""
    torch.manual_seed(0)
    lists = AutocastTestLists(torch.device("cpu"))
    places = {"torch_": torch, "nn_": torch._C._nn, "linalg_": torch._C._linalg, "methods_": torch.Tensor}
    for prefix, place in places.items():
        for name, entries in vars(lists).items():
            if not name.startswith(prefix):
                continue
            for op, arguments, *rest in entries:
                if "cudnn" not in op and isinstance(arguments, tuple):
                    keywords = next((more for more in rest if isinstance(more, dict)), {})
                    yield f"{name}: {op}", name, getattr(place, op), arguments, keywords


SAMPLES = {f"{label}, {number}": sample for number, (label, *sample) in enumerate(samples())}


def reference(kind: str, arguments: Any) -> Any:
    """The arguments as autocast to float16 hands them on, by the list that the op is in."""
    dtypes = {"fp16": torch.float16, "fp32": torch.float32, "promote": torch.float32}
    to = dtypes[kind.rsplit("_", 1)[1]]
    return tree_map(lambda a: a.to(to) if isinstance(a, torch.Tensor) and a.is_floating_point() else a, arguments)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("label", SAMPLES)
def test_casts(label: str, sky: torch.device) -> None:
    kind, op, arguments, keywords = SAMPLES[label]
    here = op(*reference(kind, arguments), **keywords)
    with torch.autocast("sky", dtype=torch.float16):
        there = op(*tree_map_only(torch.Tensor, lambda a: a.to(sky), arguments), **keywords)
    there = tree_map_only(torch.Tensor, torch.Tensor.cpu, there)
    torch.testing.assert_close(there, here, rtol=2e-3, atol=2e-3)


def test_einsum_and_attention_are_cast(sky: torch.device) -> None:
    x = torch.randn(1, 2, 5, 8)
    here = (
        F.scaled_dot_product_attention(*[x.bfloat16()] * 3),
        torch.einsum("abij,abkj->abik", x.bfloat16(), x.bfloat16()),
    )
    with torch.autocast("sky", dtype=torch.bfloat16):
        y = x.to(sky)
        there = F.scaled_dot_product_attention(y, y, y), torch.einsum("abij,abkj->abik", y, y)
    torch.testing.assert_close([t.cpu() for t in there], list(here), rtol=2e-2, atol=2e-2)


def test_binary_cross_entropy_is_refused(sky: torch.device) -> None:
    x = torch.rand(3, device=sky)
    with torch.autocast("sky"), pytest.raises(RuntimeError, match="unsafe to autocast"):
        F.binary_cross_entropy(x, x)


def test_settings(sky: torch.device) -> None:
    x = torch.ones(2, 2, device=sky)
    assert torch.get_autocast_dtype("sky") == torch.get_autocast_dtype("cuda")
    assert torch.amp.is_autocast_available("sky")
    with torch.autocast("sky", dtype=torch.bfloat16):
        assert torch.is_autocast_enabled("sky")
        assert torch.get_autocast_dtype("sky") == torch.bfloat16
        with torch.autocast("sky", enabled=False):
            assert (x @ x).dtype == torch.float32
        with torch.autocast("sky", dtype=torch.float16):
            assert (x @ x).dtype == torch.float16
        assert (x.double() @ x.double()).dtype == torch.float64  # doubles are left alone
        assert (x.cpu() @ x.cpu()).dtype == torch.float32  # and so is the CPU
    assert not torch.is_autocast_enabled("sky")
    with pytest.warns(UserWarning, match="not supported|Disabling"), torch.autocast("sky", dtype=torch.float64):
        assert (x @ x).dtype == torch.float32


def test_a_weight_is_cast_once(sky: torch.device) -> None:
    w, x = torch.ones(2, 2, device=sky, requires_grad=True), torch.ones(2, 2, device=sky)

    def casts(*, cached: bool) -> int:
        with torch.autograd.profiler.profile() as profile, torch.autocast("sky", cache_enabled=cached):
            x @ w + x @ w
        return sum(event.name == "aten::_to_copy" for event in profile.function_events)

    assert (casts(cached=True), casts(cached=False)) == (3, 4)


def test_own_functions_can_say_how_they_are_cast(sky: torch.device) -> None:
    class Product(torch.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="sky", cast_inputs=torch.float32)
        def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        @custom_bwd(device_type="sky")
        def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            assert not torch.is_autocast_enabled("sky")
            a, b = ctx.saved_tensors
            return gradient @ b.T, a.T @ gradient

    a = torch.ones(2, 2, device=sky, dtype=torch.float16, requires_grad=True)
    with torch.autocast("sky", dtype=torch.float16):
        product = Product.apply(a, a)
    product.sum().backward()
    assert (product.dtype, a.grad.dtype, a.grad.sum().item()) == (torch.float32, torch.float16, 16)


class Classifier(nn.Module):
    """Casts by hand where `lower` is given; else leaves it to autocast."""

    def __init__(self, lower: torch.dtype | None) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 3)
        self.lower = lower

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.lower is None:
            return F.cross_entropy(self.last(F.gelu(self.norm(self.first(x)))), y)

        def linear(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x.to(self.lower), layer.weight.to(self.lower), layer.bias.to(self.lower))

        x = F.gelu(self.norm(linear(self.first, x).float()))
        return F.cross_entropy(linear(self.last, x).float(), y)


@pytest.mark.parametrize("dtype", LOWER)
def test_training_with_a_scaler_gives_what_casts_by_hand_give(dtype: torch.dtype, sky: torch.device) -> None:
    results = []
    for device, lower in ((torch.device("cpu"), dtype), (sky, None)):
        torch.manual_seed(0)
        model = Classifier(lower)
        x, y = torch.randn(32, 8).to(device), torch.randint(0, 3, (32,)).to(device)
        model.to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        scaler = GradScaler(device.type, init_scale=2.0**20 if dtype == torch.float16 else 2.0**10, growth_interval=4)
        losses, scales = [], []
        for _ in range(10):
            optimizer.zero_grad()
            with torch.autocast("sky", dtype=dtype):
                loss = model(x, y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
            scales.append(scaler.get_scale())
        results.append((losses, scales))
    assert results[1][1] == results[0][1]  # it overflows, backs off and grows in the same steps
    assert results[1][0] == pytest.approx(results[0][0], rel=2e-3)
    assert results[1][0][-1] < 0.9 * results[1][0][0]


@pytest.mark.parametrize("recurrent", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_networks_run_in_lower_precision(recurrent: type[nn.RNNBase], sky: torch.device) -> None:
    torch.manual_seed(0)
    here = recurrent(4, 8).bfloat16()
    there = recurrent(4, 8)
    there.load_state_dict(here.state_dict())
    x = torch.randn(5, 2, 4)
    there.to(sky)
    with torch.autocast("sky", dtype=torch.bfloat16):
        y = there(x.to(sky))[0]
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.cpu(), here(x.bfloat16())[0], rtol=2e-2, atol=2e-2)
    y.float().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in there.parameters())
