"""The embedded server: started once, shared, replaced when it is gone."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import jupyter_skytorch
from jupyter_skytorch.compute import Compute, computes, connect, current, records, use
from jupyter_skytorch.device.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable

IN_ANOTHER_PROCESS = """
from jupyter_skytorch.compute import connect
with connect() as compute:
    print(compute.address, compute.boot_id, flush=True)
    input()
"""


def another_process() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", IN_ANOTHER_PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_connecting_starts_a_server_and_connecting_again_finds_it(shared: Path) -> None:
    compute = connect()
    assert (compute.name, compute.provider, compute.state) == ("local", "local", "connected")
    assert connect() is compute
    assert connect("local") is compute
    assert current() is compute
    status = compute.status()
    assert status.round_trip_seconds is not None
    assert [device.type for device in status.devices][:1] == ["cpu"]
    assert [session.session_id for session in compute.sessions()] == [status.session_id]
    assert {"host.memory.used", "torch.sessions"} <= {metric.name for metric in compute.metrics()}


def test_it_listens_where_only_this_user_comes(shared: Path, embedded: Callable[[Path], dict[str, object]]) -> None:
    connect()
    socket = Path(str(embedded(shared)["socket"]))
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    for file in shared.glob("server-*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_session_is_written_down_while_it_lives(shared: Path) -> None:
    with connect() as compute:
        (record,) = records.read_all()
        assert (record.session_id, record.address) == (compute.session().id, compute.address)
        assert record.pid == os.getpid()
        assert record.kernel_alive()
    assert records.read_all() == []
    assert computes() == {}
    assert compute.state == "closed"


def test_two_names_are_two_sessions_on_one_server(shared: Path) -> None:
    first, second = connect(), connect(name="second")
    assert first.boot_id == second.boot_id
    assert first.session().id != second.session().id
    assert current() is second
    assert use("local") is first
    assert current() is first


def test_processes_that_start_together_share_one_server(runtime: Path) -> None:
    others = [another_process(), another_process()]
    answers = {other.stdout.readline() for other in others if other.stdout}
    mine = connect()
    for other in others:
        other.communicate("\n", timeout=30)
    assert answers == {f"{mine.address} {mine.boot_id}\n"}
    assert mine.state == "connected"


def test_a_killed_server_is_noticed_and_replaced(
    runtime: Path, embedded: Callable[[Path], dict[str, object]], until: Callable[..., None]
) -> None:
    lost = connect()
    os.kill(int(str(embedded(runtime)["pid"])), signal.SIGKILL)
    until(lambda: lost.state == "lost", 5.0)
    assert lost.address in lost.reason
    assert lost.status().round_trip_seconds is None
    found = connect()
    assert found is not lost
    assert computes() == {"local": found}
    assert found.status().round_trip_seconds is not None
    assert [record.session_id for record in records.read_all()] == [found.session().id]


def test_a_server_that_hangs_is_ended_and_replaced(
    runtime: Path, embedded: Callable[[Path], dict[str, object]], until: Callable[..., None]
) -> None:
    connect().close()
    hung = int(str(embedded(runtime)["pid"]))
    os.kill(hung, signal.SIGSTOP)
    assert connect().state == "connected"
    assert embedded(runtime)["pid"] != hung
    until(lambda: not psutil.pid_exists(hung))


def test_a_server_that_cannot_start_is_quoted(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYTORCH_PORT", "harbour")
    with pytest.raises(ConnectError, match="argument --port: 'harbour'") as caught:
        connect()
    assert "\n" not in str(caught.value)
    assert records.read_all() == []


def test_what_lets_people_into_other_servers_is_not_asked_for_here(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("TOKEN_FILE", "TLS_CERT", "TLS_KEY"):
        monkeypatch.setenv(f"SKYTORCH_{name}", str(tmp_path / name))
    mine = connect()
    assert mine.state == "connected"
    mine.close()


def test_a_process_that_exits_leaves_no_session(shared: Path) -> None:
    mine = connect()
    other = another_process()
    assert other.stdout is not None
    other.stdout.readline()
    assert len(mine.sessions()) == 2
    other.communicate("\n", timeout=30)
    assert [session.session_id for session in mine.sessions()] == [mine.session().id]


def test_a_forked_child_does_not_close_its_parents_session(shared: Path) -> None:
    compute = connect()
    pid = os.fork()
    if pid == 0:
        compute.close()
        os._exit(len(computes()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert compute.status().round_trip_seconds is not None
    assert len(records.read_all()) == 1


def test_the_top_level_connects_too(shared: Path) -> None:
    with jupyter_skytorch.connect() as compute:
        assert isinstance(compute, Compute)
