"""Servers that are killed: the client is told, and nothing is left."""

from __future__ import annotations

import pytest

from tests.faults.kills import kill_once


@pytest.mark.parametrize(("kind", "victim"), [("embedded", "front"), ("port", "front"), ("port", "worker")])
def test_the_client_is_told_and_nothing_is_left(kind: str, victim: str) -> None:
    outcome = kill_once(kind, victim, 0.4)
    assert outcome.problems == []
