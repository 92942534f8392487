"""All sessions of a user at all known servers: those of living and dead kernels, kept and closed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jupyter_skytorch.compute import connect, records
from jupyter_skytorch.compute.survey import KnownServer, KnownSession, SurveyError, close, find, keep, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Server

SECONDS = 30.0
KERNEL = """
import sys
from jupyter_skytorch.compute import connect
compute = connect(sys.argv[1], name="elsewhere", token_file=sys.argv[2] or None)
print(compute.session().id, flush=True)
input()
"""


@contextmanager
def kernel(address: str, token_file: object = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process with a session, and the session's id; killed at the end if it isn't gone."""
    command = [sys.executable, "-c", KERNEL, address, str(token_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def found(*, gone: bool = False) -> dict[str, KnownSession]:
    """What is known when all servers have answered, which a busy one may not do in time; `gone`: one never will."""
    deadline = time.monotonic() + SECONDS
    while True:
        sessions = {known.session_id: known for known in asyncio.run(survey())}
        if gone or all(known.state != "unreachable" for known in sessions.values()) or time.monotonic() > deadline:
            return sessions


@pytest.fixture
def server(runtime: Path, serve: Callable[..., Server]) -> Server:
    return serve()


def test_sessions_of_living_kernels_are_found_at_every_server(server: Server, serve: Callable[..., Server]) -> None:
    another = serve()
    with connect(server.address) as compute, kernel(another.address) as (_, theirs):
        sessions = found()
        mine = sessions.pop(compute.session().id)
        assert (mine.kernel, mine.state, mine.name) == ("this", "active", compute.name)
        (other,) = sessions.values()
        assert (other.session_id, other.kernel, other.state, other.name) == (theirs, "alive", "active", "elsewhere")
        assert other.session is not None
        assert other.session.expiry.seconds > 3000


def test_an_orphan_is_found_kept_and_closed(server: Server) -> None:
    with kernel(server.address) as (process, session_id):
        process.kill()
        process.wait(30)
        orphan = found()[session_id]
        assert (orphan.kernel, orphan.state) == ("dead", "orphan")
        kept = asyncio.run(keep(orphan))
        assert kept.session is not None
        assert orphan.session is not None
        assert kept.session.last_heartbeat.ToNanoseconds() > orphan.session.last_heartbeat.ToNanoseconds()
        asyncio.run(close(orphan))
        assert found() == {}
        assert records.read_all() == []
        with pytest.raises(SurveyError, match="has ended: closed by its owner"):
            asyncio.run(keep(orphan))


def test_an_orphan_without_a_record_is_one_by_what_its_server_says(server: Server) -> None:
    with connect(server.address) as compute, kernel(server.address) as (process, session_id):
        records.remove(session_id)
        assert found()[session_id].kernel == "alive"
        process.kill()
        process.wait(30)
        assert (found()[session_id].kernel, found()[session_id].state) == ("dead", "orphan")
        assert found()[compute.session().id].state == "active"


def test_a_server_that_is_gone_has_its_sessions_unreachable(server: Server) -> None:
    with connect(server.address) as compute:
        server.kill()
        known = found(gone=True)[compute.session().id]
        assert (known.state, known.session) == ("unreachable", None)
        with pytest.raises(SurveyError, match="did not do it"):
            asyncio.run(keep(known))


def test_the_record_of_a_dead_kernel_whose_session_is_gone_goes_too(server: Server) -> None:
    with kernel(server.address) as (process, session_id):
        process.kill()
        process.wait(30)
        (record,) = records.read_all()
        asyncio.run(close(found()[session_id]))
        records.write(record)
        assert found() == {}
        assert records.read_all() == []


def test_one_principal_does_not_see_another_s(
    runtime: Path, serve: Callable[..., Server], token_file: Path, tmp_path: Path
) -> None:
    tokens = tmp_path / "all"
    tokens.write_text(token_file.read_text() + "bob:battery-staple\n")
    tokens.chmod(0o600)
    bobs = tmp_path / "bobs"
    bobs.write_text("battery-staple\n")
    bobs.chmod(0o600)
    server = serve("--token-file", str(tokens))
    with connect(server.address, token_file=token_file) as compute, kernel(server.address, bobs) as (_, theirs):
        # Only the credential of the record, which is a file of this user's, makes both visible.
        assert found().keys() == {compute.session().id, theirs}
        (record,) = [record for record in records.read_all() if record.session_id == theirs]
        records.remove(theirs)
        assert found().keys() == {compute.session().id}
        records.write(replace(record, credential=compute.place.credential))
        assert found()[theirs].state == "lost"


def test_a_token_that_only_a_kernel_has_is_not_needed_by_it(
    runtime: Path, serve: Callable[..., Server], token_file: Path
) -> None:
    server = serve("--token-file", str(token_file))
    with connect(server.address, token="correct-horse") as compute:
        assert found(gone=True)[compute.session().id].state == "unreachable"
        known = asyncio.run(survey([KnownServer.of_place(compute.place)]))
        assert [one.state for one in known] == ["active"]
        assert "correct-horse" not in repr(known)


def test_a_session_is_meant_by_the_beginning_of_its_id(server: Server) -> None:
    with connect(server.address) as compute, connect(server.address, name="second"):
        sessions = list(found().values())
        assert find(sessions, compute.session().id[:8]).session_id == compute.session().id
        with pytest.raises(SurveyError, match="there is no session 'x'; there is "):
            find(sessions, "x")
        with pytest.raises(SurveyError, match="there is no session"):
            find(sessions, "")
    with pytest.raises(SurveyError, match="2 sessions begin with 'a'"):
        find([replace(known, session_id=f"a{number}") for number, known in enumerate(sessions)], "a")


def test_the_command_line_lists_keeps_and_closes(server: Server) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jupyter_skytorch", "sessions", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    with kernel(server.address) as (process, session_id):
        process.kill()
        process.wait(30)
        listed = run()
        assert session_id in listed.stdout
        assert "orphan" in listed.stdout
        assert session_id in run("--keep", session_id[:6]).stdout
        assert run("--close", session_id).stdout == f"closed session {session_id} on elsewhere\n"
        assert run().stdout == "You have no session at any server known here\n"
        refused = run("--keep", session_id)
        assert (refused.returncode, refused.stderr) == (1, f"there is no session {session_id!r}\n")
