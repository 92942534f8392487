"""Functions that run beside the tensors: what goes there, what comes back, and what doesn't travel."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import torch

import jupyter_skytorch
from jupyter_skytorch import SkyError
from jupyter_skytorch.session import RemoteError

if TYPE_CHECKING:
    from pathlib import Path

    from jupyter_skytorch import Compute


def address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def test_what_a_function_returns_stays_there(compute: Compute, sky: torch.device) -> None:
    def make() -> dict[str, Any]:
        return {"ones": torch.ones(1024, 1024), "count": 3, "nested": [(torch.arange(4),)]}

    before = compute.session().counters()
    made = compute.run(make)
    after = compute.session().counters()
    assert made["ones"].device == sky
    assert made["count"] == 3
    assert after.bytes_down - before.bytes_down < 2000
    assert after.bytes_up - before.bytes_up < 4000
    assert made["ones"].sum().item() == 1024 * 1024
    assert (made["nested"][0][0] + 1).tolist() == [1, 2, 3, 4]


def test_a_sky_tensor_is_the_very_tensor_there(compute: Compute, sky: torch.device) -> None:
    whole = torch.arange(6.0, device=sky)

    def double(part: torch.Tensor, *, other: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        assert part.device.type == "cpu"
        assert part.tolist() == [2, 3]
        part *= 2
        return part, other[0], other[0][::2]

    part, same, view = compute.run(double, whole[2:4], other=[whole])
    assert whole.tolist() == [0, 1, 4, 6, 4, 5]
    assert address(part) == address(same) == address(view) == address(whole)
    view.zero_()
    assert whole.tolist() == [0, 1, 0, 6, 0, 5]


def test_a_tensor_that_the_server_has_not_heard_of_can_be_filled(compute: Compute, sky: torch.device) -> None:
    empty = torch.empty(3, 2, device=sky)
    compute.run(lambda tensor: tensor.fill_(7), empty)
    assert empty.tolist() == [[7, 7]] * 3


def test_ties_views_and_types_are_kept(compute: Compute) -> None:
    def make() -> dict[str, Any]:
        base = torch.arange(12.0).reshape(3, 4)
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
        model[1].weight = model[0].weight
        model[0].weight.requires_grad_(False)
        conjugate = torch.tensor([1 + 2j]).conj()
        return {"base": base, "column": base[:, 1], "turned": base.t(), "model": model, "conjugate": conjugate}

    made = compute.run(make)
    assert address(made["base"]) == address(made["column"]) == address(made["turned"])
    assert made["column"].stride() == (4,)
    made["base"].add_(1)
    assert made["column"].tolist() == [2, 6, 10]
    assert made["turned"].shape == (4, 3)
    model = made["model"]
    assert model[0].weight is model[1].weight
    assert isinstance(model[0].weight, torch.nn.Parameter)
    assert not model[0].weight.requires_grad
    assert model[0].bias.requires_grad
    assert model[2].num_batches_tracked.device.type == "sky"
    assert made["conjugate"].tolist() == [1 - 2j]


def test_a_module_that_comes_back_trains(compute: Compute, sky: torch.device) -> None:
    def make() -> torch.nn.Module:
        torch.manual_seed(3)
        return torch.nn.Linear(2, 1)

    model = compute.run(make)
    torch.manual_seed(3)
    here = torch.nn.Linear(2, 1)
    for one, device in ((model, sky), (here, "cpu")):
        optimizer = torch.optim.SGD(one.parameters(), 0.1)
        for _ in range(3):
            optimizer.zero_grad()
            one(torch.ones(4, 2, device=device)).pow(2).mean().backward()
            optimizer.step()
    torch.testing.assert_close(model.weight.cpu(), here.weight)


def test_tensors_of_the_cpu_travel_along(compute: Compute) -> None:
    large = torch.arange(700_000)

    def look(tensor: torch.Tensor, tied: torch.Tensor) -> tuple[int, bool]:
        tied[0] = 5
        return int(tensor.sum()), int(tensor[0]) == 5

    expected = int(large.sum())
    assert compute.run(look, large, large[:3]) == (expected + 5, True)
    assert large[0] == 0


def test_a_function_learns_its_gradients_there(compute: Compute, sky: torch.device) -> None:
    weight = torch.ones(3, device=sky, requires_grad=True)

    def gradient(weight: torch.Tensor) -> torch.Tensor:
        assert torch.is_grad_enabled()
        (weight * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        assert weight.grad is not None
        return weight.grad

    assert compute.run(gradient, weight).tolist() == [1, 2, 3]


def test_devices_and_random_numbers_are_those_of_the_session(compute: Compute, sky: torch.device) -> None:
    torch.manual_seed(11)

    def draw(device: torch.device) -> torch.Tensor:
        assert device == torch.device("cpu", 0)
        return torch.rand(3, device=device)

    drawn = compute.run(draw, sky)
    torch.manual_seed(11)
    assert drawn.tolist() == torch.rand(3, device=sky).tolist()


def test_output_comes_as_it_is_written(compute: Compute, capsys: pytest.CaptureFixture[str]) -> None:
    def talk() -> None:
        for i in range(20_000):
            print("line", i, "ü")
        print("late", file=sys.stderr)
        sys.stdout.write("no newline")

    compute.run(talk)
    said = capsys.readouterr()
    assert said.out == "".join(f"line {i} ü\n" for i in range(20_000)) + "no newline"
    assert said.err == "late\n"


def test_output_comes_before_the_end(compute: Compute, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The function waits for a file that is made when its output has come."""
    path = tmp_path / "seen"

    def wait(path: Path) -> bool:
        sys.stdout.write("waiting")
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return path.exists()

    class Watch:
        def write(self, text: str) -> None:
            if text == "waiting":
                path.touch()

        def flush(self) -> None:
            pass

    monkeypatch.setattr(sys, "stdout", Watch())
    assert compute.run(wait, path)


class OddError(ValueError):
    """An exception that can't be made again of its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_what_is_raised_there_is_raised_here(compute: Compute, sky: torch.device) -> None:
    class MineError(Exception):
        pass

    def fail(kind: type[Exception]) -> None:
        raise kind("as it is")  # the culprit

    kept = torch.ones(3, device=sky)
    for kind in (KeyError, MineError, torch.OutOfMemoryError):
        with pytest.raises(kind, match="as it is") as caught:
            compute.run(fail, kind)
        shown = "".join(traceback.format_exception(caught.value))
        assert "raise kind" in shown
        assert "# the culprit" in shown
        assert "skytorch_server" not in shown
    assert (kept + 1).tolist() == [2, 2, 2]


def test_an_exception_that_cant_be_made_here_says_what_it_was(compute: Compute) -> None:
    def fail() -> None:
        raise OddError(1, 2)

    with pytest.raises(RemoteError, match=r"^OddError: 1 and 2$") as caught:
        compute.run(fail)
    assert "raise OddError" in str(caught.value.__cause__)
    with pytest.raises(TypeError, match="cannot pickle"):
        compute.run(lambda: (i for i in range(3)))
    with pytest.raises(TypeError, match="cannot pickle"):
        compute.run(lambda lock: None, threading.Lock())
    assert compute.run(lambda: 5) == 5


def test_an_error_from_before_is_raised_where_a_function_waits_for_it(compute: Compute, sky: torch.device) -> None:
    good = torch.ones(3, device=sky)
    wrong = good[torch.tensor([9], device=sky)]
    with pytest.raises(IndexError):
        compute.run(lambda: torch.ones(2))
    with pytest.raises(IndexError):
        compute.run(lambda tensor: tensor, wrong)
    assert compute.run(lambda tensor: tensor + 1, good).tolist() == [2, 2, 2]


def test_a_function_that_makes_a_tensor_smaller_costs_that_tensor(compute: Compute, sky: torch.device) -> None:
    tensor, other = torch.ones(100, device=sky), torch.ones(3, device=sky)
    with pytest.raises(RuntimeError, match="made a tensor's storage smaller"):
        compute.run(lambda tensor, _other: tensor.untyped_storage().resize_(4), tensor, other)
    with pytest.raises(RuntimeError, match="made a tensor's storage smaller"):
        tensor.tolist()
    assert other.tolist() == [1, 1, 1]


def test_what_is_not_taken_is_freed(compute: Compute) -> None:
    def storages() -> int:
        torch.sky.synchronize()
        return compute.status().stats.storages

    before = storages()
    made = compute.run(lambda: [torch.ones(4) for _ in range(10)])
    assert storages() == before + 10
    del made
    assert storages() == before


def test_an_interrupt_is_one_there(compute: Compute, sky: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = torch.ones(3, device=sky)

    class Interrupting:
        def write(self, text: str) -> None:
            if "asleep" in text:
                os.kill(os.getpid(), signal.SIGINT)

        def flush(self) -> None:
            pass

    def sleep() -> None:
        try:
            print("asleep", flush=True)
            time.sleep(600)
        finally:
            print("awake")

    monkeypatch.setattr(sys, "stdout", Interrupting())
    with pytest.raises(KeyboardInterrupt) as caught:
        compute.run(sleep)
    assert "time.sleep(600)" in str(caught.value.__cause__)
    assert (kept + 1).tolist() == [2, 2, 2]
    assert compute.run(lambda: 5) == 5


def test_threads_take_turns(compute: Compute) -> None:
    results: dict[int, int] = {}

    def call(number: int) -> None:
        data = torch.full((300_000,), number)
        results[number] = compute.run(lambda data: int(data.sum()), data)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {number: 300_000 * number for number in range(4)}


def test_a_remote_function_is_one_there_too(compute: Compute) -> None:
    @compute.remote
    def where() -> int:
        """Says where."""
        return os.getpid()

    @compute.remote
    def both(count: int) -> list[int]:
        return [where() for _ in range(count)]

    assert where.__doc__ == "Says where."
    assert both(2) == [where()] * 2 != [os.getpid()] * 2


def test_modules_beside_the_notebook_travel(compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside.py").write_text("FACTOR = 3\n\ndef times(n):\n    return n * FACTOR\n")
    monkeypatch.syspath_prepend(tmp_path)
    import beside  # type: ignore[import-not-found]

    def use(n: int) -> int:
        return beside.times(n)

    assert compute.run(beside.times, 5) == 15
    assert compute.run(use, 7) == 21


def test_tensors_of_another_session_are_refused(compute: Compute) -> None:
    with jupyter_skytorch.connect(name="other") as other:
        theirs = torch.ones(3, device=other.device())
        with pytest.raises(RuntimeError, match="two Computes"):
            compute.run(lambda tensor: tensor, theirs)
        with pytest.raises(SkyError, match="is no device of"):
            compute.run(lambda device: device, theirs.device)
    compute.device("cpu")


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 3)
        self.out = torch.nn.Linear(3, 5)
        self.out.weight = self.embedding.weight
        self.register_buffer("steps", torch.zeros(1))


@pytest.mark.parametrize("device", ["meta", "cpu", "sky"])
def test_weights_are_loaded_without_moving(compute: Compute, sky: torch.device, device: str) -> None:
    def load() -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        return Tied().state_dict()

    state = compute.run(load)
    with torch.device(sky if device == "sky" else device):
        model = Tied()
    torch.sky.synchronize()
    before = compute.session().counters()
    assert jupyter_skytorch.load_into(model, state) is model
    after = compute.session().counters()
    assert after.ops == before.ops
    assert model.out.weight is model.embedding.weight
    assert isinstance(model.out.weight, torch.nn.Parameter)
    assert model.steps.device == sky
    assert address(model.out.bias) == address(state["out.bias"])
    torch.manual_seed(1)
    torch.testing.assert_close(model.cpu().state_dict(), Tied().state_dict())


def test_keys_and_shapes_are_checked(compute: Compute) -> None:
    state = compute.run(lambda: {"weight": torch.ones(2, 2), "bias": torch.ones(2)})
    with pytest.raises(RuntimeError, match="Missing key"):
        torch.sky.load_into(torch.nn.Linear(2, 2), {"weight": state["weight"]})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        torch.sky.load_into(torch.nn.Linear(2, 2, bias=False), state)
    with pytest.raises(RuntimeError, match="size mismatch"):
        torch.sky.load_into(torch.nn.Linear(3, 2), state)
    model = torch.sky.load_into(torch.nn.Linear(2, 2, bias=False), state, strict=False)
    assert model.weight.device.type == "sky"
