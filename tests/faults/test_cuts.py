"""A training whose connection is cut, stalled and reordered comes to what it comes to undisturbed."""

from __future__ import annotations

import pytest

from tests.faults.cuts import QUICK, cuts, disturbed


@pytest.mark.parametrize("tunnels", [True, False], ids=["tunnel", "relay"])
def test_cuts_at_random_moments(tunnels: bool) -> None:
    outcome = disturbed(cuts(QUICK, 0), 6, tunnels=tunnels, seed=0, apart=(0.02, 0.4))
    assert outcome.problems == []
    assert outcome.way == ("tunnel" if tunnels else "relay")
    assert outcome.connections > 3


@pytest.mark.parametrize("tunnels", [True, False], ids=["tunnel", "relay"])
def test_what_an_old_connection_sent_arrives_after_a_new_one_was_made(tunnels: bool) -> None:
    outcome = disturbed(cuts(("late",), 0), 4, tunnels=tunnels, seed=0, apart=(0.1, 0.4))
    assert outcome.problems == []


def test_a_stall() -> None:
    outcome = disturbed(lambda between: between.stall(0.5), 2, tunnels=True, seed=0, apart=(0.6, 0.8))
    assert outcome.problems == []
