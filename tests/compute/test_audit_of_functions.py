"""What the server's audit log tells of a kernel's functions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from jupyter_skytorch.compute import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Server


@pytest.mark.timeout(60)
def test_each_call_of_a_function_is_told_and_not_what_it_does(
    runtime: Path, serve: Callable[..., Server], tmp_path: Path
) -> None:
    log = tmp_path / "audit.jsonl"
    with connect(serve("--audit-log", str(log)).address) as compute:
        assert compute.run(len, "secret-word") == 11
        told = [json.loads(line) for line in log.read_text().splitlines()]
        calls = [event for event in told if event["event"] == "function"]
        assert [(event["session"], event["record"] > 0) for event in calls] == [(compute.session().id, True)]
    assert "secret-word" not in log.read_text()
