"""A server that dies under a notebook."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Kernel


def kill_the_server() -> None:
    """Kill the embedded server that was started last."""
    folder = Path(os.environ["JUPYTER_RUNTIME_DIR"]) / "skytorch"
    newest = max(folder.glob("server-*.json"), key=lambda path: path.stat().st_mtime)
    os.kill(json.loads(newest.read_text())["pid"], signal.SIGKILL)


def test_a_server_killed_in_the_middle_of_a_cell_is_named_and_connect_works_again(connected: Kernel) -> None:
    code = "%%sky\nx = torch.ones(3)\nprint('begun')\nwhile True:\n    x = x + 1\n    x.sum().item()\n"
    result = connected.run(code, during=lambda text: kill_the_server() if "begun" in text else None)
    assert "lost local" in result.error
    assert "failed" in result.ledger
    assert "%sky connect local begins anew" in connected.usage_error("%%sky\n1")
    assert "lost" in connected.ok("%sky status").value
    assert "local: connected" in connected.ok("%sky connect").value
    assert connected.ok("%%sky\ntorch.ones(3).sum().item()").value == "3.0"
    assert "SessionLost" in connected.run("x + 1").error
