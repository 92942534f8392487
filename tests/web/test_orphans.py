"""A killed kernel's record is shown for a while and then removed, once nothing is left of its session."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from jupyter_skytorch.compute import records
from jupyter_skytorch.compute.credentials import Credential
from jupyter_skytorch.compute.records import SessionRecord
from jupyter_skytorch.web import orphans
from jupyter_skytorch.web.orphans import Orphans
from jupyter_skytorch.web.targets import Target
from jupyter_skytorch.web.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path


def dead_pid() -> int:
    """The id that a process had."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait(timeout=30)
    return ended.pid


@pytest.fixture
def record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> SessionRecord:
    """Of a living process, on a server that is gone."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder))
    written = SessionRecord(
        session_id="s1",
        name="local",
        address=f"unix:{folder}/gone.sock",
        provider="local",
        boot_id="b1",
        kernel_id=None,
        pid=os.getpid(),
        created=datetime.now(UTC).isoformat(),
        insecure=False,
        credential=Credential(),
    )
    records.write(written)
    return written


async def asked(record: SessionRecord) -> dict[Target, Watch]:
    """The watch of the record's server, which has been asked."""
    target = Target.of(record)
    watch = Watch(target, interval=1, history=1, on_change=lambda: None, on_sample=lambda *_: None)
    await watch.ask()
    return {target: watch}


async def test_the_record_of_a_dead_kernel_goes_after_it_was_shown(
    record: SessionRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = replace(record, pid=dead_pid())
    records.write(orphan)
    watches = await asked(orphan)
    sweeper = Orphans()

    assert sweeper.sweep([orphan], watches) == [orphan]
    assert records.read_all() == [orphan]

    monkeypatch.setattr(orphans, "_SHOWN_SECONDS", -1.0)
    assert sweeper.sweep([orphan], watches) == []
    assert records.read_all() == []


async def test_the_record_of_a_living_kernel_stays(record: SessionRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "_SHOWN_SECONDS", -1.0)
    assert Orphans().sweep([record], await asked(record)) == [record]
    assert records.read_all() == [record]
