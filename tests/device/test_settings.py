"""torch's settings, set here, hold on the server from their place in the program on."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import jupyter_skytorch
from jupyter_skytorch.device import settings
from skytorch_wire.records import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_skytorch import Compute


@pytest.fixture(autouse=True)
def nothing_set() -> Iterator[None]:
    """Whatever a test sets is undone."""
    yield
    torch.use_deterministic_algorithms(mode=False)
    torch.set_default_dtype(torch.float32)
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")


def run(code: str) -> str:
    """Run a program of its own; what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def nondeterministic(device: torch.device) -> torch.Tensor:
    """An op that has no deterministic implementation, on the CPU either."""
    return torch.zeros(4, device=device).put_(torch.tensor([0, 0], device=device), torch.ones(2, device=device))


@pytest.mark.parametrize("setting", [setting for setting in settings.SETTINGS if setting.initial], ids=lambda s: s.name)
def test_the_server_takes_each_of_the_settings(compute: Compute, sky: torch.device, setting: settings.Setting) -> None:
    for values in setting.initial:
        compute.session()._sink.append(Writer().setting(setting.name, values).take())
    torch.sky.synchronize(sky)
    compute.session().raise_pending()


def test_a_fresh_torch_differs_in_nothing() -> None:
    assert run("from jupyter_skytorch.device import settings; print(settings.changed())") == "[]"


def test_a_setting_holds_for_what_comes_after_it(sky: torch.device) -> None:
    before = nondeterministic(sky)
    torch.use_deterministic_algorithms(mode=True)
    between = nondeterministic(sky)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    warned = nondeterministic(sky)
    torch.use_deterministic_algorithms(mode=False)
    after = nondeterministic(sky)
    with pytest.raises(RuntimeError, match=r"put_ does not have a deterministic implementation(.|\n)*\[aten::put_ on"):
        between.sum().item()
    for good in (before, warned, after):
        assert good.sum().item() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.int32])
def test_deterministic_memory_is_filled_as_the_cpus(sky: torch.device, dtype: torch.dtype) -> None:
    torch.use_deterministic_algorithms(mode=True)
    expected = torch.empty(5, dtype=dtype)
    torch.testing.assert_close(torch.empty(5, dtype=dtype, device=sky).cpu(), expected, equal_nan=True)


def test_the_default_dtype_is_what_the_server_computes_in(sky: torch.device) -> None:
    torch.set_default_dtype(torch.float64)
    for op in (lambda x: x / 3, torch.sqrt, lambda x: torch.log(x + 1), torch.sigmoid):
        there, here = (op(torch.arange(9, device=device)) for device in (sky, "cpu"))
        assert torch.equal(there.cpu(), here)
    torch.set_default_dtype(torch.float32)
    assert (torch.arange(3, device=sky) / 3).dtype == torch.float32


def test_attention_backends_are_chosen_there(sky: torch.device) -> None:
    query = torch.randn(1, 2, 8, 16, device=sky)

    def choice() -> int:
        return torch._fused_sdp_choice(query, query, query)

    assert choice() == SDPBackend.FLASH_ATTENTION.value
    with sdpa_kernel(SDPBackend.MATH):
        assert choice() == SDPBackend.MATH.value
    assert choice() == SDPBackend.FLASH_ATTENTION.value


def test_a_new_session_begins_with_what_is_set() -> None:
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cudnn.benchmark = True
    assert ("cudnn_benchmark", (True,)) in settings.changed()
    with jupyter_skytorch.connect("local", name="later") as later:
        written = nondeterministic(later.device("cpu"))
        with pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"):
            written.cpu()


def test_what_was_set_before_the_package_came_holds_too() -> None:
    told = run("""
import torch
torch.use_deterministic_algorithms(True, warn_only=True)
torch.set_default_dtype(torch.float64)
torch.set_float32_matmul_precision("high")
import jupyter_skytorch
with jupyter_skytorch.connect() as compute:
    third = (torch.ones(1, dtype=torch.int64, device=compute.device()) / 3).item()
from jupyter_skytorch.device import settings
print(third == 1 / 3, dict(settings.changed()))
""")
    assert told.startswith("True")
    for said in ("'deterministic_algorithms': (True, True)", "'float32_matmul_precision': ('high',)"):
        assert said in told


@pytest.mark.parametrize(
    ("name", "values", "complaint"),
    [
        ("no_such_setting", (True,), "doesn't know the setting no_such_setting"),
        ("cudnn_benchmark", ("yes",), "refuses the setting cudnn_benchmark: was given a value of the wrong type"),
        ("cudnn_benchmark", (), "refuses the setting cudnn_benchmark: takes 1 values, not 0"),
        ("fp32_precision", ("cuda", "matmul", "sloppy"), "refuses the setting fp32_precision"),
        ("default_dtype", ("int64",), "refuses the setting default_dtype"),
    ],
)
def test_what_the_server_does_not_know_is_told_once(
    compute: Compute, sky: torch.device, name: str, values: tuple[bool | str, ...], complaint: str
) -> None:
    compute.session()._sink.append(Writer().setting(name, values).take())
    with pytest.raises((RuntimeError, NotImplementedError), match=complaint):
        torch.sky.synchronize(sky)
    assert torch.ones(2, device=sky).sum().item() == 2


def test_a_forked_child_sets_for_itself(sky: torch.device) -> None:
    child = os.fork()
    if child == 0:
        torch.use_deterministic_algorithms(mode=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert nondeterministic(sky).sum().item() == 1
