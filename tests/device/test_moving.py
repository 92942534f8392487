"""Every way to get a tensor, or a module, from here to there."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS_THERE: dict[str, Callable[[torch.Tensor, torch.device], torch.Tensor]] = {
    "name": lambda x, d: x.to("sky"),
    "name with index": lambda x, d: x.to(str(d)),
    "device": lambda x, d: x.to(d),
    "index": lambda x, d: x.to(d.index),
    "keyword": lambda x, d: x.to(device=d, non_blocking=True, copy=True),
    "device and type": lambda x, d: x.to(d, torch.float64).to(torch.float32),
    "like another": lambda x, d: x.to(torch.ones(1, device=d)),
    "sky()": lambda x, d: x.sky(),
    "sky(index)": lambda x, d: x.sky(d.index),
    "type": lambda x, d: x.type("torch.sky.FloatTensor"),
    "type_as": lambda x, d: x.type_as(torch.ones(1, device=d)),
    "tensor": lambda x, d: torch.tensor(x.tolist(), device=d),
    "as_tensor": lambda x, d: torch.as_tensor(x.numpy(), device=d),
    "asarray": lambda x, d: torch.asarray(x.tolist(), device=d),
    "from_numpy": lambda x, d: torch.from_numpy(x.numpy()).to(d),
    "from_dlpack": lambda x, d: torch.from_dlpack(x.numpy(), device=d),
    "copy_": lambda x, d: torch.empty(x.shape, device=d).copy_(x),
    "new_tensor": lambda x, d: torch.ones(1, device=d).new_tensor(x.tolist()),
    "pinned": lambda x, d: x.pin_memory().to(d, non_blocking=True),
    "storage": lambda x, d: torch.tensor([], device=d).set_(x.untyped_storage().sky()).view(x.shape),
    "data": lambda x, d: _with_data(torch.empty(0, device=d), x.to(d)),
    "default device": lambda x, d: _under(d, lambda: torch.tensor(x.tolist())),
}


def _with_data(x: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    x.data = data
    return x.data


def _under(device: torch.device, make: Callable[[], torch.Tensor]) -> torch.Tensor:
    with device:
        return make()


@pytest.mark.parametrize("way", WAYS_THERE)
def test_there_and_back(way: str, sky: torch.device) -> None:
    here = torch.arange(6.0).reshape(2, 3)
    there = WAYS_THERE[way](here, sky)
    assert (there.device, there.dtype, there.is_sky, there.is_cpu) == (sky, torch.float32, True, False)
    for back in (
        there.cpu(),
        there.to("cpu"),
        there.to(here),
        there.type("torch.FloatTensor"),
        torch.empty(2, 3).copy_(there),
    ):
        assert not back.is_sky
        assert torch.equal(back, here)
    assert there.to(sky) is there
    assert there.to(sky, copy=True) is not there
    assert there.type() == "torch.sky.FloatTensor"


def test_memory_formats(sky: torch.device) -> None:
    image = torch.randn(2, 3, 4, 5)
    assert image.to(sky, memory_format=torch.channels_last).stride() == (60, 1, 15, 3)
    last = image.contiguous(memory_format=torch.channels_last).to(sky)
    assert last.cpu().stride() == (60, 1, 15, 3)
    assert torch.equal(last.to("cpu", memory_format=torch.contiguous_format), image)


def test_python_reads_values(sky: torch.device) -> None:
    x = torch.tensor([[1.5, 2.0], [3.0, 4.0]], device=sky)
    assert x.tolist() == [[1.5, 2], [3, 4]]
    assert (float(x[0, 0]), int(x[1, 0]), bool(x[0, 1]), complex(x[0, 0])) == (1.5, 3, True, 1.5 + 0j)
    assert [1, 2, 3][torch.tensor(1, device=sky)] == 2
    assert list(range(torch.tensor(2, device=sky))) == [0, 1]
    assert [row.sum().item() for row in x] == [3.5, 7]
    assert len(x) == 2
    assert 1.5 in x
    assert 9 not in x
    assert torch.equal(torch.from_numpy(x.numpy(force=True)), x.cpu())
    assert np.array(x.tolist()).sum() == 10.5
    torch.testing.assert_close(torch.tensor([x[0, 0], x[1, 1]]), torch.tensor([1.5, 4]))


def test_new_tensors_like_old_ones(sky: torch.device) -> None:
    x = torch.ones(2, 3, device=sky, dtype=torch.float64)
    made = [
        make(x) for make in (torch.zeros_like, torch.ones_like, torch.empty_like, torch.rand_like, torch.randn_like)
    ]
    made += [x.new_zeros(2), x.new_ones(2), x.new_empty(2), x.new_full((2,), 3), x.new_tensor([1]), x.new(2)]
    made += [torch.full_like(x, 2), torch.randint_like(x, 3), x.new_empty_strided((2,), (1,)), x.clone(), x.detach()]
    assert all(tensor.device == sky and tensor.dtype == torch.float64 for tensor in made)
    assert torch.zeros_like(x, device="cpu").device.type == "cpu"


VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "plain": lambda t: t,
    "transposed": lambda t: t.t().contiguous().t(),
    "conjugate": lambda t: t.conj(),
    "negative": lambda t: t._neg_view(),
    "both": lambda t: t.conj()._neg_view(),
    "real": lambda t: t.real,
    "imaginary": lambda t: t.conj().imag,
}


@pytest.mark.filterwarnings("ignore:Casting complex values to real:UserWarning")
@pytest.mark.parametrize(("source", "target"), [*itertools.product(("cpu", "sky"), repeat=2)])
def test_copies_between_views_of_any_kind(source: str, target: str, sky: torch.device) -> None:
    torch.manual_seed(0)
    data = torch.randn(3, 3, dtype=torch.complex64)
    for (one, read), (two, write), dtype in itertools.product(
        VIEWS.items(), VIEWS.items(), (torch.complex64, torch.complex128)
    ):
        expected, got = torch.zeros(3, 3, dtype=dtype), torch.zeros(3, 3, dtype=dtype).to(target)
        write(expected).copy_(read(data.clone()))
        write(got).copy_(read(data.to(source)))
        assert torch.equal(got.cpu(), expected), (one, two, dtype)


@pytest.mark.parametrize(("source", "target"), [("cpu", "sky"), ("sky", "cpu"), ("sky", "sky")])
def test_copies_broadcast_and_convert(source: str, target: str, sky: torch.device) -> None:
    row = torch.tensor([1.7, -2.2, 3.0])
    for dtype in (torch.float64, torch.int64, torch.uint8, torch.bool, torch.complex64, torch.bfloat16):
        expected, got = torch.zeros(4, 3, dtype=dtype), torch.zeros(4, 3, dtype=dtype, device=target)
        data = row.abs() if dtype is torch.uint8 else row
        for into, out_of in ((expected, data), (got, data.to(source))):
            into.copy_(out_of)
            into[::2].copy_(out_of.flip(0)[:1])
            into.t()[0].copy_(out_of[2])
        assert torch.equal(got.cpu(), expected)
    for shape, words in {(2,): "The size of tensor a", (): "doesn't match the broadcast shape"}.items():
        with pytest.raises(RuntimeError, match=words):
            torch.zeros(shape, device=target).copy_(row.to(source))
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory"):
        torch.zeros(1, device=target).expand(3).copy_(row.to(source))


def test_storages_are_storages(sky: torch.device) -> None:
    x = torch.arange(4.0, device=sky)
    storage = x.untyped_storage()
    assert (storage.nbytes(), storage.device, storage.is_sky, len(storage)) == (16, sky, True, 16)
    assert storage.data_ptr() == x.data_ptr()
    assert storage.cpu().tolist() == list(torch.arange(4.0).untyped_storage())
    clone = storage.clone()
    clone.fill_(0)
    assert x.tolist() == [0, 1, 2, 3]
    storage.copy_(torch.ones(4).untyped_storage())
    assert x.tolist() == [1] * 4
    storage.byteswap(torch.float32)
    storage.byteswap(torch.float32)
    assert x.tolist() == [1] * 4
    assert storage.resize_(24).nbytes() == 24
    with pytest.warns(UserWarning, match="TypedStorage is deprecated"):
        assert x.storage().tolist()[:4] == [1] * 4


def test_modules_move(sky: torch.device) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    moves: list[Callable[[nn.Module], Any]] = [
        lambda m: m.to("sky"), lambda m: m.cpu(), lambda m: m.sky(), lambda m: m.to(sky, torch.float16),
        lambda m: m.float(), lambda m: m.bfloat16(), lambda m: m.to(torch.float32), lambda m: m.to(sky.index),
    ]  # fmt: skip
    where = ["sky", "cpu", "sky", "sky", "sky", "sky", "sky", "sky"]
    for move, type_ in zip(moves, where, strict=True):
        assert move(model) is model
        assert {t.device.type for t in model.state_dict().values()} == {type_}
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        model.cuda()
    with torch.device("meta"):
        empty = nn.Linear(2, 3)
    assert empty.to_empty(device="sky").weight.device == sky


def test_a_default_device(sky: torch.device) -> None:
    def everything() -> list[torch.device]:
        return [
            nn.Linear(2, 3).weight.device,
            torch.ones(2).device,
            torch.tensor([1]).device,
            torch.get_default_device(),
        ]

    with torch.device("sky"):
        assert everything() == [sky] * 4
    torch.set_default_device("sky")
    try:
        assert everything() == [sky] * 4
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        assert layer(torch.rand(2, 3, 8)).device == sky
        assert "device" in repr(torch.ones(2))
    finally:
        torch.set_default_device(None)
    assert torch.ones(2).device.type == "cpu"


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loaders(workers: int, sky: torch.device) -> None:
    data = TensorDataset(torch.arange(8.0), torch.arange(8))
    totals = []
    for x, y in DataLoader(data, batch_size=4, num_workers=workers, pin_memory=True):
        assert x.is_pinned()
        assert y.is_pinned()
        totals.append((x.to(sky, non_blocking=True) * y.to(sky, non_blocking=True)).sum().item())
    assert totals == [14, 126]
    there = TensorDataset(torch.arange(8.0, device=sky))
    assert [x.sum().item() for (x,) in DataLoader(there, batch_size=4)] == [6, 22]


def test_pinned_memory_is_what_was_pinned(sky: torch.device) -> None:
    here = torch.ones(3, 4)
    pinned = here.pin_memory()
    assert not here.is_pinned()
    assert pinned.is_pinned()
    assert pinned.pin_memory() is pinned
    assert pinned[1:].is_pinned()
    assert torch.empty(2, pin_memory=True).is_pinned()
    assert torch.equal(pinned.to(sky).cpu(), here)


def test_comparisons(sky: torch.device) -> None:
    x = torch.tensor([1.0, 2.0], device=sky)
    for tensor in (x, x.long(), x > 1, x + 1j, x.half()):
        torch.testing.assert_close(tensor, tensor.clone())
        torch.testing.assert_close(tensor, tensor.cpu(), check_device=False)
    with pytest.raises(AssertionError, match=r"Mismatched elements: 1 / 2 \(50.0%\)"):
        torch.testing.assert_close(x, torch.tensor([1.0, 3.0], device=sky))
    with pytest.raises(AssertionError, match="The values for attribute 'device' do not match"):
        torch.testing.assert_close(x, x.cpu())
    assert torch.equal(x, x.clone())
    assert torch.allclose(x, x + 1e-9)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        torch.allclose(x, x.cpu())
