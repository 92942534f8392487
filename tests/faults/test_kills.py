"""Servers that are killed: the client is told, and nothing is left."""

from __future__ import annotations

import pytest

from tests.faults.kills import kill_once
from tests.faults.resumes import resume_through


@pytest.mark.parametrize(("kind", "victim"), [("embedded", "front"), ("port", "front"), ("port", "worker")])
def test_the_client_is_told_and_nothing_is_left(kind: str, victim: str) -> None:
    outcome = kill_once(kind, victim, 0.4)
    assert outcome.problems == []


def test_work_goes_on_from_the_last_checkpoint() -> None:
    found = resume_through(2)
    assert found.problems == []
    assert len(found.errors) == 2
    assert found.steps > 0
