"""The provider "local": the embedded server, a process of this user on this machine.

Kernels with the same environment share one. It listens on a Unix socket in a 0700 folder, which is all the
authentication it needs, and ends by itself when nobody has a session on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .channel import MAX_SOCKET_PATH, Address
from .credentials import Credential
from .fingerprint import fingerprint
from .health import Health, check
from .place import Place
from .runtime import folder, read_json, write_json
from .server_log import bound, last_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["NAME", "LocalServerError", "locate", "running"]

NAME = "local"
IDLE_EXIT_SECONDS = 300
"""The server ends this long after its last session."""

_ANSWER_SECONDS = 5.0
"""A living server answers a health check in milliseconds; one that takes longer than this is hung."""
_POLL_SECONDS = 0.03
_PATIENCE = 10
"""Tenths of a second that a server may take to end."""
_SOCKET = "server.sock"
# What lets people in elsewhere: whoever can enter the socket's folder is let in here.
_OF_OTHERS = (
    "SKYTORCH_TOKEN",
    "SKYTORCH_TOKEN_FILE",
    "SKYTORCH_TLS_CERT",
    "SKYTORCH_TLS_KEY",
    "SKYTORCH_TLS_CLIENT_CA",
)


class LocalServerError(RuntimeError):
    """The embedded server could not be started. The message is one line."""


@dataclass(frozen=True)
class _Running:
    """What the record on disk says about the server that was started last."""

    pid: int
    socket: Path

    @classmethod
    def read(cls, path: Path) -> _Running | None:
        content = read_json(path)
        if content is None:
            return None
        pid, socket = content.get("pid"), content.get("socket")
        if not isinstance(pid, int) or pid <= 1 or not isinstance(socket, str):
            return None
        return cls(pid, Path(socket))

    async def health(self) -> Health:
        if not self.socket.exists():
            return Health.ABSENT
        return await check(Address("unix", path=str(self.socket)), _ANSWER_SECONDS)

    def sweep(self) -> None:
        """Remove what a server that ended left behind."""
        with contextlib.suppress(OSError):
            self.socket.unlink(missing_ok=True)
            self.socket.parent.rmdir()


async def locate(seconds: float, say: Callable[[str], None]) -> Place:
    """Find this environment's embedded server, or start it, within a number of seconds. Raises LocalServerError."""
    deadline = time.monotonic() + seconds
    home = folder()
    key = fingerprint()
    record = home / f"server-{key}.json"
    running, health = await _look(record)
    if running is None or health is not Health.SERVING:
        async with _locked(home / f"server-{key}.lock", deadline):
            if _Running.read(record) != running:
                # Another kernel was faster.
                running, health = await _look(record)
            if running is None or health is not Health.SERVING:
                if running is not None:
                    await _clear_away(running, say)
                say("starting the embedded server")
                running = await _start(record, home / f"server-{key}.log", deadline)
    bound(home / f"server-{key}.log")
    return _place(running)


async def running() -> Place | None:
    """Find this environment's embedded server, if it runs."""
    found, health = await _look(folder() / f"server-{fingerprint()}.json")
    return _place(found) if found is not None and health is Health.SERVING else None


def _place(running: _Running) -> Place:
    return Place(NAME, NAME, Address("unix", path=str(running.socket)), Credential())


async def _look(record: Path) -> tuple[_Running | None, Health]:
    running = _Running.read(record)
    return running, await running.health() if running else Health.ABSENT


@contextlib.asynccontextmanager
async def _locked(path: Path, deadline: float) -> AsyncIterator[None]:
    """Hold a lock between processes, so that kernels that start at the same time start one server."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = "another kernel has been starting the embedded server for too long"
                    raise LocalServerError(message) from None
            await asyncio.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(handle)


async def _start(record: Path, log: Path, deadline: float) -> _Running:
    bound(log)
    socket = _socket_folder() / _SOCKET
    process = _spawn(socket, log)
    running = _Running(process.pid, socket)
    try:
        await _ready(running, process, log, deadline)
    except BaseException:
        # Whoever is interrupted while waiting leaves no half-started server behind.
        if process.poll() is None:
            process.terminate()
        running.sweep()
        raise
    started = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(record, {"version": 1, "pid": process.pid, "socket": str(socket), "log": str(log), "started": started})
    return running


async def _ready(running: _Running, process: subprocess.Popen[bytes], log: Path, deadline: float) -> None:
    while await running.health() is not Health.SERVING:
        if process.poll() is not None:
            raise LocalServerError(f"the embedded server ended at once: {last_line(log)} (log: {log})")
        if time.monotonic() > deadline:
            raise LocalServerError(f"the embedded server did not get ready in time: {last_line(log)} (log: {log})")
        await asyncio.sleep(_POLL_SECONDS)


def _spawn(socket: Path, log: Path) -> subprocess.Popen[bytes]:
    arguments = [
        *(sys.executable, "-P", "-m", "skytorch_server"),
        *("--unix-socket", str(socket)),
        *("--exit-when-idle", str(IDLE_EXIT_SECONDS)),
    ]
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            # Away from the notebook's folder, whose files could stand in for modules of the server, and from the
            # kernel's process group, whose interrupts are not meant for it.
            cwd=socket.parent,
            start_new_session=True,
            env=_environment(),
        )
    except OSError as error:
        raise LocalServerError(f"the embedded server cannot be started: {error}") from None
    finally:
        os.close(handle)
    # It outlives this kernel or ends before it; either way somebody must collect its exit status.
    threading.Thread(target=_reap, args=(process, socket), name="skytorch-reaper", daemon=True).start()
    return process


def _reap(process: subprocess.Popen[bytes], socket: Path) -> None:
    process.wait()
    _Running(process.pid, socket).sweep()


def _environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _OF_OTHERS}
    if paths := environment.get("PYTHONPATH"):
        # It starts in another folder, where relative entries would mean something else.
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(path).absolute()) for path in paths.split(os.pathsep))
    return environment


def _socket_folder() -> Path:
    """Make a 0700 folder whose path is short enough for the sockets in it."""
    # The server puts its sessions' sockets in folders of its own, which follow TMPDIR in the same way.
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) + len("/skytorch-12345678/") + len(_SOCKET) > MAX_SOCKET_PATH:
        base = "/tmp"  # noqa: S108 (mkdtemp makes a folder of our own in it)
    return Path(tempfile.mkdtemp(prefix="skytorch-", dir=base))


async def _clear_away(running: _Running, say: Callable[[str], None]) -> None:
    """End a server that does not serve, if the process is still that server, and remove what it left."""
    if _is_server(running):
        say("the embedded server no longer answers: replacing it")
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if _is_server(running):
                    os.kill(running.pid, number)
            await _ended(running)
    running.sweep()


async def _ended(running: _Running) -> None:
    for _ in range(_PATIENCE):
        if not _is_server(running):
            return
        await asyncio.sleep(0.1)


def _is_server(running: _Running) -> bool:
    """Whether the recorded process id is still that server's, and not one given out again."""
    import psutil

    try:
        return str(running.socket) in psutil.Process(running.pid).cmdline()
    except psutil.Error:
        return False
