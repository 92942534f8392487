"""What is on sky can be saved, loaded, copied and handed on, and what can't be says so."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CPU = torch.device("cpu")


def saved(thing: object, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(thing, file, **options)
    file.seek(0)
    return file


def trained(device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(4, 2, device=device)).sum().backward()
    optimizer.step()
    return model, optimizer


def on(device: torch.device, state: Any) -> bool:
    if isinstance(state, torch.Tensor):
        return state.device == device or state.dim() == 0  # optimizers keep their step on the CPU
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return all(on(device, part) for part in parts)


LOCATIONS: dict[str, Callable[[torch.device], Any]] = {
    "cpu": lambda d: "cpu",
    "cpu device": lambda d: CPU,
    "sky": lambda d: "sky",
    "sky with index": str,
    "sky device": lambda d: d,
    "dict": lambda d: {"sky": "cpu", "cpu": "sky"},
    "function": lambda d: lambda storage, location: storage.sky() if location == "cpu" else storage,
    "nothing": lambda d: None,
}
LANDS = {"cpu": ("cpu", "cpu"), "cpu device": ("cpu", "cpu"), "dict": ("cpu", "sky"), "function": ("cpu", "sky")}
LANDS["nothing"] = ("sky", "cpu")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("location", LOCATIONS)
def test_map_location(location: str, legacy: bool, sky: torch.device) -> None:
    wanted = LANDS.get(location, ("sky", "sky"))
    for source, type_ in zip((sky, CPU), wanted, strict=True):
        data = torch.arange(6.0, device=source).reshape(2, 3)
        file = saved([data, data[1]], _use_new_zipfile_serialization=not legacy)
        loaded, row = torch.load(file, map_location=LOCATIONS[location](sky))
        assert loaded.device.type == type_
        assert torch.equal(loaded.cpu(), data.cpu())
        loaded.zero_()
        assert row.tolist() == [0, 0, 0]  # they shared a storage, and still do


@pytest.mark.parametrize("where", ["cpu", "sky"])
def test_checkpoints(where: str, sky: torch.device) -> None:
    model, optimizer = trained(sky)
    checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.sky.get_rng_state()}
    loaded = torch.load(saved(checkpoint), map_location=where)
    assert on(sky if where == "sky" else CPU, loaded["model"])
    assert on(sky if where == "sky" else CPU, loaded["optimizer"])
    other, stepper = trained(sky)
    other.load_state_dict(loaded["model"])
    stepper.load_state_dict(loaded["optimizer"])
    torch.sky.set_rng_state(loaded["rng"].cpu())
    assert on(sky, stepper.state_dict())
    for one, two in zip(other.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_a_file_names_no_index_and_loads_where_another_one_is_current() -> None:
    code = """
import io, torch, jupyter_skytorch
file = io.BytesIO()
with jupyter_skytorch.connect(name="first") as first:
    torch.save(torch.arange(3., device=first.device()), file)
file.seek(0)
try:
    torch.load(file)
except RuntimeError as error:
    print(type(error).__name__)
with jupyter_skytorch.connect(name="second") as second:
    second.device()
    for options in ({}, {"map_location": "sky"}):
        file.seek(0)
        x = torch.load(file, **options)
        print(x.device, x.tolist())
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert told.stdout.splitlines()[-2:] == ["sky:1 [0.0, 1.0, 2.0]"] * 2, told.stdout


def test_without_a_session_pytorch_advises(sky: torch.device, tmp_path: Path) -> None:
    torch.save(torch.ones(2, device=sky), tmp_path / "x.pt")
    code = """
import sys, torch, jupyter_skytorch.device
try:
    torch.load(sys.argv[1])
except RuntimeError as error:
    print(error)
print(torch.load(sys.argv[1], map_location="cpu").tolist())
"""
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.pt")], capture_output=True, text=True, timeout=60, check=True
    )
    assert "please use torch.load with map_location=torch.device('cpu')" in told.stdout
    assert told.stdout.splitlines()[-1] == "[1.0, 1.0]"


def test_memory_mapped_files(sky: torch.device, tmp_path: Path) -> None:
    torch.save(torch.arange(4.0, device=sky), tmp_path / "x.pt")
    for location in ("cpu", "sky", None):
        assert torch.load(tmp_path / "x.pt", mmap=True, map_location=location).tolist() == [0, 1, 2, 3]


THINGS: dict[str, Callable[[torch.device], Any]] = {
    "tensor": lambda d: torch.arange(3.0, device=d),
    "view": lambda d: torch.arange(6.0, device=d).reshape(2, 3).t()[1:],
    "parameter": lambda d: nn.Parameter(torch.ones(2, device=d)),
    "module": lambda d: trained(d)[0],
    "optimizer": lambda d: trained(d)[1],
}
COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),  # noqa: S301
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "torch.save": lambda thing: torch.load(saved(thing), weights_only=False),
}


def contents(thing: Any) -> Any:
    if isinstance(thing, torch.Tensor):
        return thing.detach().cpu()
    return contents_of_state(thing.state_dict())


def contents_of_state(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: contents_of_state(value) for key, value in state.items()}
    return state.cpu() if isinstance(state, torch.Tensor) else state


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("thing", THINGS)
def test_copies_of_anything(thing: str, way: str, sky: torch.device) -> None:
    original = THINGS[thing](sky)
    copied = COPIES[way](original)
    assert type(copied) is type(original)
    torch.testing.assert_close(contents(copied), contents(original))
    if isinstance(copied, torch.Tensor):
        assert copied.device == sky
    else:
        assert on(sky, copied.state_dict())


def test_a_deep_copy_keeps_what_is_shared(sky: torch.device) -> None:
    base = torch.zeros(4, device=sky)
    one, two = copy.deepcopy([base, base.view(2, 2)])
    one.fill_(3)
    assert two.tolist() == [[3, 3], [3, 3]]
    assert base.tolist() == [0] * 4
    assert copy.copy(base).data_ptr() == base.data_ptr()


def test_state_dicts_go_in_and_out(sky: torch.device) -> None:
    there, here = nn.Linear(2, 3, device=sky), nn.Linear(2, 3)
    here.load_state_dict(there.state_dict())
    assert here.weight.device == CPU
    assert torch.equal(here.weight, there.weight.cpu())
    here.load_state_dict(there.state_dict(), assign=True)
    assert here.weight.device == sky
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "bias"'):
        there.load_state_dict({"weight": here.weight})
    with torch.device("meta"):
        empty = nn.Linear(2, 3)
    empty.to_empty(device=sky).load_state_dict({name: value.cpu() for name, value in there.state_dict().items()})
    assert torch.equal(empty.weight, there.weight)


def test_safetensors(sky: torch.device, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    state = {"a": torch.arange(6.0, device=sky).reshape(2, 3), "n": torch.tensor(3, device=sky)}
    safetensors.torch.save_file(state, path)
    for device, wanted in (("sky", sky), (str(sky), sky), (sky, sky), (sky.index, sky), ("cpu", CPU)):
        loaded = safetensors.torch.load_file(path, device=device)
        assert on(wanted, loaded)
        assert loaded["a"].device == wanted
        assert loaded["a"].tolist() == state["a"].tolist()
    with safetensors.safe_open(path, "pt", device="sky") as opened:
        assert opened.get_slice("a")[1:].device == sky
    assert safetensors.torch.load(safetensors.torch.save(state))["a"].tolist() == state["a"].tolist()
    tied = nn.ModuleDict({"a": nn.Linear(3, 3, device=sky), "b": nn.Linear(3, 3, device=sky)})
    tied["b"].weight = tied["a"].weight
    safetensors.torch.save_model(tied, str(path))
    other = copy.deepcopy(tied)
    nn.init.zeros_(other["a"].weight)
    safetensors.torch.load_model(other, path, device="sky")
    assert torch.equal(other["b"].weight, tied["a"].weight)


REFUSED: dict[str, tuple[Callable[[torch.Tensor], Any], type[Exception], str]] = {
    "np.asarray": (np.asarray, TypeError, "can't convert sky:0 device type tensor to numpy"),
    "numpy()": (lambda x: x.numpy(), TypeError, "can't convert sky:0 device type tensor to numpy"),
    "to_dlpack": (lambda x: torch.utils.dlpack.to_dlpack(x.t()), BufferError, "can't export a sky:0 tensor"),
    "torch.to_dlpack": (lambda x: torch.to_dlpack(x.view(-1)), BufferError, "Use Tensor.cpu"),
    "__dlpack__": (lambda x: x.__dlpack__(), BufferError, "its memory is on the server"),
    "np.from_dlpack": (np.from_dlpack, BufferError, "can't export a sky:0 tensor by DLPack"),
    "torch.from_dlpack": (torch.from_dlpack, ValueError, "Unknown device type sky for Dlpack"),
    "cuda()": (lambda x: x.cuda(), AssertionError, "Torch not compiled with CUDA enabled"),
    "to cuda": (lambda x: x.to("cuda"), AssertionError, "Torch not compiled with CUDA enabled"),
    "pin_memory": (lambda x: x.pin_memory(), RuntimeError, "only dense CPU tensors can be pinned"),
    "share": (lambda x: x.untyped_storage()._share_fd_cpu_(), RuntimeError, "can't send a sky:0 tensor to another"),
    "float of many": (float, ValueError, "only one element tensors can be converted to Python scalars"),
    "bool of many": (bool, RuntimeError, "Boolean value of Tensor with more than one value is ambiguous"),
    "index of a float": (lambda x: [1][x[0, 0]], TypeError, "only integer tensors of a single element"),
    "len of a scalar": (lambda x: len(x[0, 0]), TypeError, r"len\(\) of a 0-d tensor"),
    "from meta": (lambda x: x.to("meta").to(x.device), NotImplementedError, "Cannot copy out of meta tensor"),
    "a device that isn't there": (lambda x: torch.ones(1).to("sky:63"), RuntimeError, "sky:63 doesn't exist"),
    "use after the storage shrank": (
        lambda x: (x.untyped_storage().resize_(4), x + 1), RuntimeError, "out of bounds for its storage of 4 bytes"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_says_so(name: str, sky: torch.device) -> None:
    call, error, words = REFUSED[name]
    with pytest.raises(error, match=words.replace("sky:0", str(sky))):
        call(torch.arange(6.0, device=sky).reshape(2, 3))
