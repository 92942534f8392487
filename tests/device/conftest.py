"""A sky device on the embedded server: another process, reached as any user reaches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import jupyter_skytorch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_skytorch import Compute


@pytest.fixture(scope="session", autouse=True)
def _torch_flags_can_be_set() -> Iterator[None]:
    """PyTorch's own test inputs forbid it for the whole process when they are imported."""
    with torch.backends.__allow_nonbracketed_mutation():
        yield


@pytest.fixture(scope="module")
def compute() -> Iterator[Compute]:
    with jupyter_skytorch.connect() as compute:
        yield compute


@pytest.fixture
def sky(compute: Compute) -> torch.device:
    return compute.device("cpu")
