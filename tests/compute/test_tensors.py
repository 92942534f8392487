"""Tensors into a session, out of it, and through a function there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from jupyter_skytorch.compute import attach, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jupyter_skytorch.compute import Compute

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def compute(module_folder: Path) -> Iterator[Compute]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(module_folder))
        with connect("local", name="inbox") as compute:
            yield compute


@pytest.fixture(autouse=True)
def _empty(compute: Compute) -> Iterator[None]:
    yield

    def clear() -> None:
        from skytorch_server import tensors

        tensors.clear()

    compute.run(clear)


def double() -> int:
    from skytorch_server import tensors

    count = 0
    while (tensor := tensors.take()) is not None:
        tensors.put(tensor * 2)
        count += 1
    return count


def test_tensors_are_sent_and_received(compute: Compute) -> None:
    x, y = torch.arange(12.0).reshape(3, 4), torch.arange(6, device=compute.device()).reshape(2, 3).t()
    assert compute.send_tensors(x) == "1 tensor received; 1 tensor in the inbox"
    assert compute.send_tensors(y, x) == "2 tensors received; 3 tensors in the inbox"
    x += 1
    y += 1
    assert compute.run(double) == 3
    first, second = compute.receive_tensors(2)
    assert {first.device, second.device} == {compute.device()}
    assert torch.equal(first.cpu(), (x - 1) * 2)
    assert torch.equal(second.cpu(), (y.cpu() - 1) * 2)
    (third,) = compute.receive_tensors()
    assert torch.equal(third.cpu(), first.cpu())
    with pytest.raises(LookupError, match="1 tensor asked for, and functions on the server have put out none"):
        compute.receive_tensors()


def test_what_is_too_little_is_left(compute: Compute) -> None:
    compute.send_tensors(torch.ones(2))
    compute.run(double)
    with pytest.raises(LookupError, match="2 tensors asked for, and functions on the server have put out 1"):
        compute.receive_tensors(2, {"shape": "2,2"})
    assert compute.receive_tensors(1, {"shape": "2,2"})[0].tolist() == [2, 2]


def test_the_self_test(compute: Compute) -> None:
    before = compute.session().counters()
    made = compute.receive_tensors(3, {"shape": "20, 20"})
    assert [tuple(tensor.shape) for tensor in made] == [(20, 20)] * 3
    assert compute.session().counters().bytes_down - before.bytes_down < 2000
    assert 0 < made[0].sum().item() < 400
    for parameters in ({"shape": "2,x"}, {"shape": ""}, {"shape": "-1"}, {"size": "2"}, {"shape": "2", "dtype": "int"}):
        with pytest.raises(ValueError, match="parameters are a shape"):
            compute.receive_tensors(1, parameters)
    with pytest.raises(ValueError, match="at least one"):
        compute.receive_tensors(0)


def test_tensors_go_through_a_function(compute: Compute) -> None:
    inputs = [torch.randn(4, n) for n in range(1, 5)]
    results = compute.stream_tensors(*inputs)
    assert [torch.equal(result.cpu(), given) for result, given in zip(results, inputs, strict=True)] == [True] * 4
    factor = 3.0
    results = compute.stream_tensors(*inputs, fn=lambda tensor: (tensor * factor).t())
    for result, given in zip(results, inputs, strict=True):
        assert torch.equal(result.cpu(), given.t() * 3)
    assert compute.stream_tensors() == []
    on_sky = torch.zeros(3, device=compute.device())
    (result,) = compute.stream_tensors(on_sky, fn=lambda tensor: tensor.add_(1))
    assert (result.tolist(), on_sky.tolist()) == ([1] * 3, [0] * 3)


def test_what_goes_wrong_there(compute: Compute) -> None:
    with pytest.raises(ZeroDivisionError):
        compute.stream_tensors(torch.ones(1), fn=lambda _: torch.ones(1 // 0))
    with pytest.raises(TypeError, match="what the function returned is float"):
        compute.stream_tensors(torch.ones(1), fn=float)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tensors are sent, and not list"):
        compute.send_tensors([1, 2])  # type: ignore[arg-type]
    assert compute.stream_tensors(torch.ones(1))[0].item() == 1


def test_tensors_of_another_compute(compute: Compute) -> None:
    with connect("local", name="elsewhere") as other:
        x = torch.arange(4.0, device=other.device())
        compute.send_tensors(x)
        (result,) = compute.stream_tensors(x, fn=lambda tensor: tensor + 1)
        assert (result.device, result.tolist()) == (compute.device(), [1, 2, 3, 4])
    assert compute.run(double) == 1
    assert compute.receive_tensors()[0].tolist() == [0, 2, 4, 6]


def test_another_kernel_finds_nothing(compute: Compute) -> None:
    mine = connect(compute.address, name="mine")
    mine.save("kept", torch.ones(2, device=mine.device()))
    mine.send_tensors(torch.ones(2))
    session = mine.session().id
    mine.close_at_exit(5)
    with attach(session, name="theirs") as theirs:
        assert theirs.run(double) == 0
        assert theirs.load("kept").tolist() == [1, 1]
