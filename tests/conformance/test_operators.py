"""The part of the operator database that every change is held to; `make conformance` runs all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance import shards, table
from tests.conformance.operators import Pair, pairs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.shards import Outcome

DTYPES = {"float32", "complex64", "int64", "bool"}
SAMPLES = 2


@pytest.mark.timeout(1200)
def test_operators_give_what_they_give_on_the_cpu(tmp_path: Path) -> None:
    chosen = [pair for pair in pairs() if pair.dtype in DTYPES]
    outcomes: dict[Pair, Outcome] = {}
    shards.run(chosen, workers=2, samples=SAMPLES, log=tmp_path / "log", on_outcome=outcomes.__setitem__)
    assert set(outcomes) == set(chosen)
    assert table.unexpected(outcomes) == []
