"""The session's executor, all of it and with torch, given records that are nearly right, in a process of its own.

A recorded session is played record by record; before each, some damaged versions of it are tried in the state that the
session has there. So what is damaged is as deep in as can be: its ops are known, its storages exist.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import select
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from skytorch_server.session.executor import DONE, MALFORMED, create
from skytorch_wire.records import split_records
from skytorch_wire.replies import read_replies

from .libfuzzer import FuzzError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skytorch_server.session.executor import Executor

_ROUTE = 1
_TRIES = 20
_PATIENCE_SECONDS = 60.0
_CHUNK = 1 << 20
# What a damaged size may take before the system says no, beyond what the process has at the beginning.
_SPARE_BYTES = 2 << 30
_RESTART = 50  # sessions
_NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    1 << 14,
    1 << 31,
    (1 << 31) - 1,
    1 << 32,
    1 << 40,
    1 << 62,
    (1 << 63) - 1,
    (1 << 64) - 1,
)


def damaged(record: bytes, other: bytes, chosen: random.Random) -> bytes:
    """A version of a record with something wrong in it, perhaps."""
    data = bytearray(record)
    for _ in range(chosen.choice((1, 1, 1, 2, 4))):
        at = chosen.randrange(len(data) + 1)
        match chosen.randrange(8):
            case 0:
                del data[at:]
            case 1 if at < len(data):
                data[at] ^= 1 << chosen.randrange(8)
            case 2 if at < len(data):
                data[at] = chosen.randrange(256)
            case 3:
                data[at:at] = _varint(chosen.choice(_NUMBERS))
            case 4 if at < len(data):
                data[at : at + 1] = _varint(chosen.choice(_NUMBERS))
            case 5:
                begin = chosen.randrange(len(other) + 1)
                data[at:at] = other[begin : begin + chosen.randrange(12)]
            case 6:
                del data[at : at + chosen.randrange(1, 6)]
            case _ if at < len(data):
                data[at : at + 4] = data[at : at + 4] * 2
    return bytes(data)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Session:
    """An executor, and what came of each submission."""

    def __init__(self) -> None:
        self.executor: Executor = create(_CHUNK)
        self.outcomes: Counter[str] = Counter()

    def submit(self, records: bytes, what: str) -> str:
        """Has records executed; "malformed", "failed" or "done"."""
        self.executor.submit(records, _ROUTE)
        outcome, deadline = "done", time.monotonic() + _PATIENCE_SECONDS
        while True:
            ready, _, _ = select.select([self.executor.fileno()], [], [], max(deadline - time.monotonic(), 0.0))
            if not ready:
                raise FuzzError(f"no answer in {_PATIENCE_SECONDS:.0f} s to {records.hex()}")
            for _, kind, payload in self.executor.collect():
                if kind == MALFORMED:
                    text = payload.decode(errors="replace")
                    outcome = "malformed" if not text.startswith("the server could not go on") else "given up"
                if kind in {DONE, MALFORMED}:
                    self.outcomes[f"{what}: {outcome}"] += 1
                    return outcome
                if any(type(reply).__name__ == "ErrorReply" for reply in read_replies(payload)):
                    outcome = "failed"


def play(records: list[bytes], chosen: random.Random, tries: int, current: Path | None = None) -> Counter[str]:
    """One session: every record after some damaged versions of it. `current` is told what is tried."""
    session = Session()
    try:
        for record in records:
            for _ in range(tries):
                tried = damaged(record, chosen.choice(records), chosen)
                if current is not None:
                    current.write_bytes(tried)
                session.submit(tried, "damaged")
            session.submit(record, "right")
    finally:
        session.executor.close()
    return session.outcomes


def mebibytes() -> float:
    """What this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def child(session: Path, runs: int, seed: int, current: Path) -> None:
    """What the process does: tells, line by line, what came of each session."""
    records = split_records(session.read_bytes())
    chosen = random.Random(seed)
    data = int(Path("/proc/self/status").read_text(encoding="utf-8").split("VmData:")[1].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (data + _SPARE_BYTES, data + _SPARE_BYTES))
    done = 0
    while done < runs:
        outcomes = play(records, chosen, min(_TRIES, max(1, (runs - done) // len(records))), current)
        done += sum(count for outcome, count in outcomes.items() if outcome.startswith("damaged"))
        sys.stdout.write(json.dumps({"outcomes": outcomes, "mebibytes": mebibytes()}) + "\n")
        sys.stdout.flush()


class Run:
    """Children that follow each other until so many damaged records were tried."""

    def __init__(self, session: Path, folder: Path, seed: int) -> None:
        self._session, self._folder, self._seed = session, folder, seed
        self.outcomes: Counter[str] = Counter()
        self.crashes: list[str] = []
        self.memory: list[float] = []

    def run(self, runs: int) -> None:
        """Tries so many."""
        while (done := self.tried()) < runs and len(self.crashes) < 100:
            current = self._folder / "current"
            program = ["-m", "tests.fuzz.interpreter", str(self._session), str(current)]
            arguments = ["--runs", str(runs - done), "--seed", str(self._seed + done)]
            with subprocess.Popen([sys.executable, *program, *arguments], stdout=subprocess.PIPE, text=True) as process:
                for line in self._lines(process):
                    told = json.loads(line)
                    self.outcomes.update(told["outcomes"])
                    self.memory.append(told["mebibytes"])
                process.wait()
            if process.returncode:
                kept = self._folder / f"crash-{len(self.crashes)}"
                current.replace(kept)
                self.crashes.append(f"{process.returncode} at {kept}: {kept.read_bytes()[:120].hex()}")

    def tried(self) -> int:
        """How many damaged records were."""
        return sum(count for outcome, count in self.outcomes.items() if outcome.startswith("damaged"))

    def _lines(self, process: subprocess.Popen[str]) -> Iterator[str]:
        assert process.stdout is not None
        yield from process.stdout

    def __str__(self) -> str:
        grown = f", {self.memory[0]:.0f} -> {self.memory[-1]:.0f} MiB" if self.memory else ""
        return f"{self.tried()} damaged records: {dict(self.outcomes)}{grown}; {len(self.crashes)} crashes"


def main() -> None:
    """A child of :class:`Run`."""
    os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.interpreter")
    parser.add_argument("session", type=Path)
    parser.add_argument("current", type=Path)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    child(options.session, options.runs, options.seed, options.current)


if __name__ == "__main__":
    main()
