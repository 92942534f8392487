"""A training that is interrupted is whole, and goes on in the next cell."""

from __future__ import annotations

import pytest

from tests.faults.interrupts import interrupted


@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
def test_an_interrupted_training_is_whole(slow: bool) -> None:
    outcome = interrupted(2, slow=slow, seed=3)
    assert outcome.problems == []
    assert outcome.interrupts == 2
