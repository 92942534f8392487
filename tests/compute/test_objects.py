"""Objects that a session keeps by name, and another kernel finds."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from jupyter_skytorch.compute import attach, connect, records
from jupyter_skytorch.device.errors import ConnectError, SkyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Server


def test_what_is_saved_is_loaded(shared: Path) -> None:
    with connect() as compute:
        sky = compute.device()
        x = torch.arange(6.0, device=sky).reshape(2, 3)
        thing = {"x": x, "t": x.T, "row": x[1], "n": 7, "cpu": torch.arange(3), "device": sky, "list": [x, (x, "s")]}
        compute.save("thing", thing)
        del x, thing
        loaded = compute.load("thing")
        assert loaded["n"] == 7
        assert loaded["cpu"].tolist() == [0, 1, 2]
        assert loaded["device"] == sky
        assert loaded["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert loaded["list"][0] is loaded["x"]
        loaded["x"].add_(1)
        assert loaded["t"].tolist() == [[1, 4], [2, 5], [3, 6]]
        assert loaded["row"].tolist() == [4, 5, 6]
        (info,) = compute.objects()
        assert (info.name, info.storages, info.storage_bytes) == ("thing", 1, 24)
        compute.forget("thing")
        assert compute.objects() == []
        with pytest.raises(SkyError, match="no object 'thing' on local"):
            compute.load("thing")


TRAIN = """
import sys, torch
from torch import nn
import jupyter_skytorch

def step(model, optimizer, sky):
    optimizer.zero_grad()
    loss = model(torch.linspace(-1, 1, 8 * 300).reshape(8, 300).to(sky)).square().sum()
    loss.backward()
    optimizer.step()
    return loss.item()
"""
OLD = (
    TRAIN
    + """
compute = jupyter_skytorch.connect()
sky = compute.device()
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(300, 300), nn.BatchNorm1d(300)).to(sky)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
torch.set_default_dtype(torch.float64)
torch.set_default_dtype(torch.float32)
step(model, optimizer, sky)
compute.save("model", model)
compute.save("optimizer", optimizer)
compute.save("both", (model, optimizer))
unnamed = torch.ones(1000, 1000, device=sky)
print(compute.session().id, unnamed.sum().item(), flush=True)
"""
)


@pytest.fixture
def program(shared: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts another process with a session of its own, as another kernel."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=30)


def reference() -> tuple[list[float], dict[str, torch.Tensor]]:
    """What a session that nothing happens to gives: the losses of three steps, and the weights after the first."""
    space: dict = {}
    exec(TRAIN, space)  # noqa: S102
    with connect(name="reference") as compute:
        sky = compute.device()
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(300, 300), nn.BatchNorm1d(300)).to(sky)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        losses = [space["step"](model, optimizer, sky)]
        weights = {name: value.cpu() for name, value in model.state_dict().items()}
        losses += [space["step"](model, optimizer, sky) for _ in range(2)]
    return losses, weights


@pytest.mark.parametrize("names", [("model", "optimizer"), ("both",)])
def test_a_kernel_is_killed_and_the_next_one_goes_on(program: Callable[..., Any], names: tuple[str, ...]) -> None:
    old = program(OLD + "sys.stdin.read()")
    session_id = old.stdout.readline().split()[0]
    old.kill()
    losses, weights = reference()
    held = sum(value.nbytes for value in weights.values())
    with attach(session_id, name="new") as new:
        assert new.session().id == session_id
        loaded = [new.load(name) for name in names]
        model, optimizer = loaded if len(loaded) == 2 else loaded[0]
        assert model[0].weight is optimizer.param_groups[0]["params"][0]
        # Only what has a name is there: the weights, and the two moments of the optimizer.
        assert new.status().stats.storage_bytes < 4 * held
        counters = new.session().counters()
        assert counters.bytes_up + counters.bytes_down < held / 30
        assert all(torch.equal(value.cpu(), weights[name]) for name, value in model.state_dict().items())
        space: dict = {}
        exec(TRAIN, space)  # noqa: S102
        assert [space["step"](model, optimizer, new.device()) for _ in range(2)] == losses[1:]


def test_a_kernel_that_lives_is_told_that_it_lost_its_session(program: Callable[..., Any]) -> None:
    old = program(
        OLD
        + """
sys.stdin.readline()
try:
    unnamed.sum().item()
except jupyter_skytorch.SessionLost as error:
    print(error, flush=True)
sys.stdin.readline()
jupyter_skytorch.computes()["local"].close()
print("closed", flush=True)
"""
    )
    session_id = old.stdout.readline().split()[0]
    with attach(session_id) as new:
        assert new.name == "local"
        print(file=old.stdin, flush=True)
        assert "another kernel has taken over this session" in old.stdout.readline()
        print(file=old.stdin, flush=True)
        assert old.stdout.readline() == "closed\n"
        assert new.load("model")[0].weight.shape == (300, 300)
        assert session_id in [record.session_id for record in records.read_all()]


def test_a_kernel_that_exits_frees_what_has_no_name(program: Callable[..., Any]) -> None:
    old = program(OLD)
    session_id = old.stdout.readline().split()[0]
    assert old.wait(30) == 0
    with connect(name="other") as other:
        (left,) = [session for session in other.sessions() if session.session_id == session_id]
        assert 0 < left.stats.storage_bytes < 4_000_000
    with attach(session_id) as new:
        assert sorted(info.name for info in new.objects()) == ["both", "model", "optimizer"]
        for info in new.objects():
            new.forget(info.name)
        assert new.status().stats.storage_bytes == 0
    old = program(OLD.replace("compute.save", "(lambda *kept: None)"))
    session_id = old.stdout.readline().split()[0]
    assert old.wait(30) == 0
    with pytest.raises(ConnectError, match="there is no session"):
        attach(session_id)


def test_objects_outlive_their_server(runtime: Path, serve: Callable[..., Server], tmp_path: Path) -> None:
    flags = ("--checkpoint-dir", str(tmp_path / "kept"))
    server = serve(*flags)
    with connect(server.address, name="lab") as compute:
        assert compute.restorable == 0
        model = nn.Linear(3, 2).to(compute.device())
        model.weight.data.fill_(5.0)
        compute.save("model", model)
        written = compute.checkpoint("mine")
        assert (written.name, list(written.objects)) == ("mine", ["model"])
        with pytest.raises(SkyError, match="lab: the session has no object 'other'"):
            compute.checkpoint("mine", ["other"])
        model.weight.data.fill_(6.0)
        compute.session().synchronize()
        server.process.terminate()
        assert server.process.wait(30) == 0
    server = serve(*flags)
    with connect(server.address, name="lab") as compute:
        assert compute.restorable == 2
        assert [checkpoint.name for checkpoint in compute.checkpoints()] == ["mine", "stopped-lab"]
        assert compute.restore("mine") == ["model"]
        assert compute.load("model").weight.tolist() == [[5.0] * 3] * 2
        compute.restore("stopped-lab", ["model"])
        assert compute.load("model").weight.tolist() == [[6.0] * 3] * 2
        compute.delete_checkpoint("mine")
        assert [checkpoint.name for checkpoint in compute.checkpoints()] == ["stopped-lab"]
