"""Small versions of what `tests.faults.crowd`, `flood` and `orphans` measure; none of a figure."""

from __future__ import annotations

from tests.faults.crowd import crowd
from tests.faults.flood import flood
from tests.faults.orphans import orphans


def test_every_session_of_a_crowd_trains_its_own_model() -> None:
    found = crowd(sessions=6, clients=2)
    assert found.right == found.sessions == 6


def test_a_quiet_session_is_answered_beside_a_flood() -> None:
    waits = flood(sessions=3, clients=1, reads=50)
    assert len(waits.beside) == 50
    assert waits.flooded > 50


def test_sessions_of_killed_kernels_expire_and_their_memory_returns() -> None:
    found = orphans(2)
    assert found.expired == 2
    # One left behind would be tens of MiB of some hundred.
    assert found.growth < 0.05
