"""Libraries on sky give what they give on the CPU. Run by `make conformance-libraries`, which installs them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import torch
from torch.utils import _pytree

import jupyter_skytorch
from jupyter_skytorch.magics.cuda import as_cuda

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from jupyter_skytorch import Compute


class Same(Protocol):
    def __call__(self, run: Callable[[torch.device], Any], *, rtol: float = ..., atol: float = ...) -> None: ...


def pytest_configure(config: pytest.Config) -> None:
    # What libraries warn their users of is no fault of the device.
    config.addinivalue_line("filterwarnings", "default")
    # Nothing is fetched: all weights are made here.
    os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def compute() -> Iterator[Compute]:
    with jupyter_skytorch.connect() as compute:
        yield compute


@pytest.fixture
def sky(compute: Compute) -> torch.device:
    return compute.device("cpu")


@pytest.fixture
def same(sky: torch.device) -> Same:
    """Runs a function for the CPU and for sky, seeded alike, and compares every tensor and number that it returns.

    The default tolerances leave room for sums in another order, which is all that may differ.
    """

    def here(value: Any) -> Any:
        return value.detach().cpu() if isinstance(value, torch.Tensor) else value

    def compare(run: Callable[[torch.device], Any], *, rtol: float = 1e-4, atol: float = 1e-5) -> None:
        results = []
        for device in (torch.device("cpu"), sky):
            torch.manual_seed(0)
            results.append(_pytree.tree_map(here, run(device)))
        torch.testing.assert_close(results[1], results[0], rtol=rtol, atol=atol, equal_nan=True)

    return compare


@pytest.fixture(params=["environment", "as cuda"])
def told(
    request: pytest.FixtureRequest, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> Callable[[torch.device], AbstractContextManager[None]]:
    """Both ways to tell accelerate, and so transformers.Trainer, which device it works on."""

    @contextmanager
    def tell(device: torch.device) -> Iterator[None]:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)
        if device.type == "sky" and request.param == "as cuda":
            monkeypatch.delenv("ACCELERATE_TORCH_DEVICE", raising=False)
            with as_cuda(compute):
                yield
        else:
            monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", str(device))
            yield

    return tell
