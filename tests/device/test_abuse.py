"""No input whatever ends the process, or the session: what can't be is a Python exception."""

from __future__ import annotations

import copy
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import jupyter_skytorch

if TYPE_CHECKING:
    from collections.abc import Callable

#: Each once ended the session, or the process.
ABUSE: dict[str, tuple[Callable[[torch.device], object], str]] = {
    "a view past the end": (
        lambda d: torch.ops.aten._reshape_alias_copy(torch.ones(3, device=d), [7], [1]), "out of bounds for its storage"
    ),
    "a storage that shrank": (
        lambda d: (x := torch.ones(8, device=d), x.untyped_storage().resize_(0), x + 1), "out of bounds for its storage"
    ),
    "a scalar of the cpu that is written": (
        lambda d: torch.tensor(True).logical_xor_(torch.tensor(True, device=d)), "Expected all tensors"
    ),
    "a number far below zero": (
        lambda d: torch.nn.functional.conv2d(
            torch.ones(1, 1, 3, 3, device=d), torch.ones(1, 1, 2, 2, device=d), dilation=(-(2**63), 1)
        ),
        ".",
    ),
    "too many dimensions": (lambda d: torch.ones(1, device=d).expand((1,) * 70).clone(), "dimensions"),
    "a negative size": (lambda d: torch.ones(-1, out=torch.empty(0, device=d)), "negative dimension"),
    "sizes that overflow": (lambda d: torch.ones(1, device=d).new_zeros(2**40, 0, 2**40), "product overflows"),
    "resizing to it": (lambda d: torch.empty(0, device=d).resize_(2, -3), "negative dimension"),
    "a type of bits": (lambda d: torch.empty(2, dtype=torch.bits8, device=d).clone(), "can't be of type Bits8"),
    "a random state of any length": (lambda d: torch.sky.set_rng_state(torch.zeros(100_000).byte()), "size"),
    "attention without dimensions": (
        lambda d: torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*[torch.ones(2, device=d)] * 3), "."
    ),
    "a recurrent cell of too few gates": (
        lambda d: torch.ops.aten._thnn_fused_lstm_cell(*[torch.ones(2, 3, device=d)] * 3), "takes 4 joined matrices"
    ),
    "a text that is too long": (lambda d: torch.ops.aten.gelu(torch.ones(2, device=d), approximate="x" * 70_000), "."),
    "an op with no kernel": (
        lambda d: torch.ops.aten._mps_convolution_transpose(*[torch.ones(1, 1, 3, 3, device=d)] * 2, *[[1, 1]] * 4, 1),
        "Could not run 'aten::_mps_convolution_transpose' with arguments from the 'CPU' backend.\n",
    ),
    "a refused op with a scalar of the cpu": (
        lambda d: torch.ops.aten.mkldnn_adaptive_avg_pool2d_backward(torch.tensor(1.0), torch.ones(2, 2, device=d)), "."
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ABUSE)
def test_abuse_is_an_exception_and_the_session_goes_on(name: str, sky: torch.device) -> None:
    abuse, words = ABUSE[name]
    good = torch.ones(2, device=sky)

    def attempt() -> None:
        abuse(sky)
        torch.sky.synchronize()

    with pytest.raises((RuntimeError, IndexError), match=words):
        attempt()
    assert good.sum().item() == 2


ODD: dict[str, Callable[[torch.device], object]] = {
    "sparse of the cpu": lambda d: torch.ones(2, 2, device=d) + torch.eye(2).to_sparse(),
    "quantized": lambda d: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8).to(d) + 1,
    "mkldnn": lambda d: torch.ones(2, 2).to_mkldnn().to(d),
    "meta": lambda d: torch.ones(2, device=d) + torch.ones(2, device="meta"),
    "named": lambda d: torch.ones(2, device=d) + None,
    "far too large": lambda d: torch.empty(2**62, 4, device=d),
    "negative sizes": lambda d: torch.empty(-3, device=d),
    "another device": lambda d: torch.ones(2, device=d).to("sky:63"),
    "a device that can't be": lambda d: torch.ones(2, device=torch.device("sky", 127)),
    "deep lists": lambda d: torch.cat([nested(torch.ones(1, device=d), 10_000)]),
    "deep graphs": lambda d: deep_graph(d, 20_000),
    "hooks that raise": lambda d: raising_hook(d),  # noqa: PLW0108  (it is defined below)
    "torch functions that raise": lambda d: torch.ones(2, device=d) + torch.ones(2, device=d).as_subclass(Refusing),
    "addresses": lambda d: torch.frombuffer(torch.ones(2, device=d).untyped_storage(), dtype=torch.float32),
}


def nested(tensor: object, depth: int) -> object:
    for _ in range(depth):
        tensor = [tensor]
    return tensor


def deep_graph(device: torch.device, depth: int) -> None:
    x = start = torch.ones(1, device=device, requires_grad=True)
    for _ in range(depth):
        x = x + 1
    x.backward()
    assert start.grad is not None
    del x
    raise ValueError("all of it was freed")


def raising_hook(device: torch.device) -> None:
    def hook(gradient: torch.Tensor) -> None:
        raise ArithmeticError("not today")

    x = torch.ones(2, device=device, requires_grad=True)
    x.register_hook(hook)
    (x * 2).sum().backward()


class Refusing(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func: object, types: object, args: object = (), kwargs: object = None) -> object:
        raise ArithmeticError("not today")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ODD)
def test_odd_tensors_are_exceptions_too(name: str, sky: torch.device) -> None:
    def attempt() -> None:
        ODD[name](sky)
        torch.sky.synchronize()

    with pytest.raises((RuntimeError, TypeError, ValueError, ArithmeticError, IndexError, RecursionError)):
        attempt()
    assert torch.ones(2, device=sky).sum().item() == 2


def test_a_closed_session_is_said_by_every_use(sky: torch.device) -> None:
    with jupyter_skytorch.connect(name="short") as short:
        x = torch.ones(3, device=short.device("cpu"), requires_grad=True)
        y = (x * 2).sum()
        generator = torch.Generator(x.device)
    for use in (
        lambda: x + 1, x.cpu, lambda: repr(x), lambda: x[x > 0], y.backward, lambda: copy.deepcopy(x),
        lambda: torch.save(x, io.BytesIO()), lambda: torch.ones(2, device=x.device), lambda: generator.manual_seed(1),
        lambda: torch.rand(2, device=x.device), lambda: torch.sky.synchronize(x.device),
        lambda: x.detach().resize_(100), lambda: torch.ones(3).to(x.device), lambda: torch.ones(3, device=sky).copy_(x),
    ):  # fmt: skip
        with pytest.raises(jupyter_skytorch.SessionClosed, match="the session on short was closed"):
            use()
    assert x.untyped_storage().nbytes() == 12
    assert torch.ones(2, device=sky).sum().item() == 2


_CALLS = 400
_ROUNDS = 4


def wild(device: str, seed: int, left_out: list[str]) -> tuple[int, list[str], list[str]]:
    """A run of wild.py: how it ended, the ops that it called, and what it remarked."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("wild.py")), device, str(seed), str(_CALLS), *left_out],
        capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    return (
        done.returncode,
        re.findall(r"^(aten::\S+)$", done.stdout, re.MULTILINE),
        re.findall("^= (.*)", done.stdout, re.MULTILINE),
    )


@pytest.mark.parametrize("seed", [3])
def test_wild_calls_are_exceptions(seed: int) -> None:
    left_out: list[str] = []
    for _ in range(_ROUNDS):
        code, called, remarks = wild("sky", seed, left_out)
        if code == 0:
            break
        # PyTorch has crashes of its own, which the CPU suffers from too.
        control, called_there, _ = wild("cpu", seed, left_out)
        assert control != 0, f"{called[-1]} ended the process: {code}"
        assert called_there == called
        left_out.append(called[-1])
    assert code == 0
    assert len(called) == _CALLS
    # A server's own process may die of PyTorch's crashes; it never ends a session for what the client sent.
    assert not [remark for remark in remarks if "ended the session's stream" in remark or "could not go on" in remark]
