"""Session records: what the sidebar finds, and that a bad file harms nobody."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jupyter_skytorch.compute import records
from jupyter_skytorch.compute.records import Credential, SessionRecord

if TYPE_CHECKING:
    from pathlib import Path

RECORD = SessionRecord(
    session_id="5ec7ab2f66bec174",
    name="train",
    address="grpc://127.0.0.1:50051",
    provider="address",
    boot_id="b00t",
    kernel_id="1b4e28ba",
    pid=os.getpid(),
    created="2025-01-02T03:04:05+00:00",
    insecure=False,
    credential=Credential("token-file", "/home/ada/token"),
)


def test_what_is_written_is_read_until_it_is_removed(runtime: Path) -> None:
    older = replace(RECORD, session_id="0lder", created="2024-01-01T00:00:00+00:00", kernel_id=None)
    records.write(RECORD)
    records.write(older)
    assert records.read_all() == [older, RECORD]
    records.remove(older.session_id)
    records.remove(older.session_id)
    assert records.read_all() == [RECORD]


def test_only_this_user_can_read_them(runtime: Path) -> None:
    records.write(RECORD)
    path = runtime / "sessions" / f"{RECORD.session_id}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700


def test_files_that_are_no_records_are_passed_over(runtime: Path) -> None:
    records.write(RECORD)
    folder = runtime / "sessions"
    good = json.loads((folder / f"{RECORD.session_id}.json").read_text())
    for name, content in {
        "empty": "",
        "list": "[]",
        "huge": " " * 100_000,
        "version": json.dumps(good | {"version": 2, "session_id": "version"}),
        "name": json.dumps(good | {"name": 3, "session_id": "name"}),
        "pid": json.dumps(good | {"pid": 2**40, "session_id": "pid"}),
        "credential": json.dumps(good | {"credential": {"kind": "?"}, "session_id": "credential"}),
        "other": json.dumps(good),
    }.items():
        (folder / f"{name}.json").write_text(content)
    os.mkfifo(folder / "pipe.json")
    (folder / "link.json").symlink_to("/etc/passwd")
    assert records.read_all() == [RECORD]


@pytest.mark.parametrize("unsafe", ["../../evil", "", "a/b", ".hidden", "x" * 200])
def test_a_session_id_cannot_lead_out_of_the_folder(runtime: Path, unsafe: str) -> None:
    with pytest.raises(ValueError, match="session id"):
        records.write(replace(RECORD, session_id=unsafe))


def test_a_record_outlives_its_kernel_and_says_so(runtime: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert RECORD.kernel_alive()
    assert not replace(RECORD, pid=ended.pid).kernel_alive()
