"""Ops on sky tensors give what they give on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

if TYPE_CHECKING:
    from collections.abc import Callable

A = torch.arange(12.0).reshape(3, 4) / 7 - 0.5

OPS: dict[str, Callable[[torch.Tensor], object]] = {
    "add": lambda a: a + 1,
    "arithmetic": lambda a: [
        a - a, a.add(a, alpha=2), a.sub(1.5, alpha=3), a * a, a / 2, a / a.exp(), 2 - a, 1 / a.exp(), a.t() + 1,
    ],
    "arithmetic of several shapes and types": lambda a: [
        a + a[0], a * a[:, :1], a + a.long(), a.double() * a, a.long() + 1, a.long() / 2, a.long() * 1.5,
        a.bool() + True, a.half() + 1, a + 1j, a[:, :0] + 1, a.sum() + a, a + a.sum(), a[0, 0] + 1,
    ],
    "arithmetic in place": lambda a: [
        (a + 0).add_(a).mul_(2).sub_(1).div_(3), (a + 0).add_(a[0]), (a + 0).mul_(a.long()), (a + 0).t().add_(1),
    ],
    "chain": lambda a: (a * 2 - a / 3).exp().log1p(),
    "mm": lambda a: a @ a.t(),
    "bmm": lambda a: torch.bmm(a.expand(2, 3, 4), a.t().expand(2, 4, 3)),
    "reductions": lambda a: [a.sum(), a.mean(0), a.amax(1), a.std(), a.argmax(1), a.cumsum(0)],
    "scalars on the cpu": lambda a: a + torch.tensor(2.0),
    "types": lambda a: [a.double(), a.half(), a.bfloat16(), a.long(), a.bool(), a + 1j],
    "where": lambda a: torch.where(a > 0, a, -1.0),
    "cat and stack": lambda a: [torch.cat([a, a], 1), torch.stack([a, a]), *a.split(2, 1)],
    "sort and topk": lambda a: [*a.sort(1, descending=True), *a.topk(2)],
    "softmax": lambda a: [a.softmax(1), F.log_softmax(a, 0)],
    "activations": lambda a: [F.relu(a), F.gelu(a), F.silu(a), torch.sigmoid(a), torch.tanh(a)],
    "layer_norm": lambda a: F.layer_norm(a, (4,)),
    "convolution": lambda a: F.conv2d(a.reshape(1, 1, 3, 4), a[:2, :2].reshape(1, 1, 2, 2)),
    "pooling": lambda a: F.max_pool2d(a.reshape(1, 1, 3, 4), 2),
    "index": lambda a: [a[1], a[:, [0, 2]], a[torch.tensor([2, 0])], a[..., None], a[1:, ::2]],
    "gather": lambda a: a.gather(1, torch.zeros(3, 1, dtype=torch.long, device=a.device)),
    "einsum": lambda a: torch.einsum("ij,kj->ik", a, a),
    "linalg": lambda a: torch.linalg.solve(a[:, :3] + torch.eye(3, device=a.device) * 3, a),
    "fft": torch.fft.rfft,
    "factories": lambda a: [
        torch.zeros(2, device=a.device), torch.arange(5, device=a.device), torch.eye(3, device=a.device),
        torch.linspace(0, 1, 4, device=a.device), torch.full((2,), 7, device=a.device), torch.ones_like(a),
    ],
    "foreach": lambda a: torch._foreach_add([a, a * 2], 1.5),
    "as_strided": lambda a: a.as_strided((2, 2), (4, 1), 1),
    "complex views": lambda a: torch.view_as_real(torch.view_as_complex(a.reshape(3, 2, 2)) * 1j),
}  # fmt: skip


def tensors(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    assert isinstance(value, (list, tuple))
    return [tensor for item in value for tensor in tensors(item)]


@pytest.mark.parametrize("name", OPS)
def test_gives_what_the_cpu_gives(name: str, sky: torch.device) -> None:
    op = OPS[name]
    for there, here in zip(tensors(op(A.to(sky))), tensors(op(A)), strict=True):
        assert there.device == sky
        assert there.stride() == here.stride()
        torch.testing.assert_close(there.cpu(), here, check_stride=False)


def test_arithmetic_in_place_keeps_the_type_or_says_that_it_cannot(sky: torch.device) -> None:
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        torch.arange(3, device=sky).add_(1.5)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        torch.zeros(3, device=sky).add_(torch.zeros(2, 3, device=sky))


def test_shapes_that_depend_on_data_come_from_the_server(sky: torch.device) -> None:
    a = A.to(sky)
    for op in (torch.nonzero, lambda t: t[t > 0], torch.unique, lambda t: torch.masked_select(t, t < 0)):
        assert torch.equal(op(a).cpu(), op(A))
    assert torch.equal(a, A.to(sky))
    assert not torch.equal(a, a + 1)
    assert torch.bincount(torch.tensor([1, 1, 3], device=sky)).tolist() == [0, 2, 0, 1]


def test_out_arguments_are_resized_as_on_the_cpu(sky: torch.device) -> None:
    a = A.to(sky)
    out = torch.empty(0, device=sky)
    assert torch.add(a, a, out=out) is out
    assert torch.equal(out.cpu(), A + A)
    used = torch.zeros(2, device=sky) + 1
    with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
        torch.mul(a, a, out=used)
    assert torch.equal(used.cpu(), A * A)


def test_a_printed_tensor_shows_its_values_and_its_device(sky: torch.device) -> None:
    assert repr(torch.tensor([1.0, 2.0], device=sky)) == f"tensor([1., 2.], device='{sky}')"


def test_items_have_the_type_of_their_tensor(sky: torch.device) -> None:
    values = [torch.tensor(value, device=sky).item() for value in (1.5, 7, True, 1 + 2j)]
    assert values == [1.5, 7, True, 1 + 2j]
    assert [type(value) for value in values] == [float, int, bool, complex]
    assert torch.arange(3, device=sky).tolist() == [0, 1, 2]


def test_the_newest_device_is_the_current_one(sky: torch.device) -> None:
    assert torch.zeros(1, device="sky").device == sky
    assert torch.sky.is_available()
    assert torch.sky.current_device() == sky.index
    assert torch.accelerator.current_accelerator() == torch.device("sky")
