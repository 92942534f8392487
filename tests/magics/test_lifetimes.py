"""A session's end in a notebook: asked for, announced, listed, kept and closed."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Kernel

OTHER_KERNEL = """
from jupyter_skytorch.compute import connect
compute = connect(name="theirs")
print(compute.session().id, flush=True)
input()
"""


@pytest.fixture
def orphan(connected: Kernel) -> str:
    """The id of the session of a process that was killed."""
    command = [sys.executable, "-c", OTHER_KERNEL]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        session_id = process.stdout.readline().strip()
        process.kill()
    return session_id


def test_the_next_cells_ledger_line_says_that_the_session_is_about_to_end(kernel: Kernel) -> None:
    kernel.ok("compute = %sky connect --name short --max-age 8")
    assert "session ends" not in kernel.ok("%%sky short\ntorch.ones(3).sum().item()").ledger
    deadline = time.monotonic() + 60
    while "session ends in 0 s: maximum age" not in (line := kernel.ok("%%sky short\n1").ledger):
        assert "session ends" not in line
        assert time.monotonic() < deadline
    kernel.ok("import time\nwhile compute.state == 'connected': time.sleep(0.01)")
    assert "it reached its maximum age of 8 s" in kernel.usage_error("%%sky short\n1")


def test_sessions_lists_those_of_dead_kernels_keeps_and_closes_them(connected: Kernel, orphan: str) -> None:
    listed = connected.ok("found = %sky sessions\nfound")
    (row,) = [line for line in listed.value.splitlines() if orphan in line]
    assert "theirs" in row
    assert "dead" in row
    assert "orphan" in row
    (mine,) = [line for line in listed.value.splitlines() if line.startswith("▸")]
    assert "this" in mine
    assert connected.ok("[one.kernel for one in found].count('this')").value == "1"
    kept = connected.ok(f"%sky sessions --keep {orphan[:6]}").value
    assert orphan in kept
    assert len(kept.splitlines()) == 2
    assert f"closed session {orphan} on theirs" in connected.ok(f"%sky sessions --close {orphan}").ledger
    assert orphan not in connected.ok("%sky sessions").value
    assert f"there is no session '{orphan}'" in connected.usage_error(f"%sky sessions --close {orphan}")


def test_closing_ones_own_session_disconnects(connected: Kernel) -> None:
    session_id = connected.ok("print(compute.session().id)").printed.strip()
    connected.ok(f"%sky sessions --close {session_id}")
    assert connected.ok("compute.state").value == "'closed'"
    assert session_id not in connected.ok("%sky sessions").value


def test_what_a_session_asks_for_is_a_flag_or_a_setting(kernel: Kernel) -> None:
    kernel.ok("%config SkyMagics.idle_timeout = 50\n%config SkyMagics.memory = '2GiB'")
    try:
        shown = kernel.ok("%sky connect --name asked --memory 1GiB --max-age 600\n%sky status asked").value
        assert "50 s after the kernel is gone, or when it is 10 min 0 s old" in shown
        assert "1 GiB" in shown
    finally:
        kernel.ok("%config SkyMagics.idle_timeout = 0\n%config SkyMagics.memory = ''")
    assert "memory: 'lots' is not a size" in kernel.usage_error("%sky connect --name more --memory lots")
