"""A sky device on the embedded server: another process, reached as any user reaches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import jupyter_skytorch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from jupyter_skytorch import Compute


@pytest.fixture(scope="module")
def compute() -> Iterator[Compute]:
    with jupyter_skytorch.connect() as compute:
        yield compute


@pytest.fixture
def sky(compute: Compute) -> torch.device:
    return compute.device("cpu")
