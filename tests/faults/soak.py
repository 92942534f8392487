"""``python -m tests.faults.soak``: mixed work of many clients on one server, and whether memory stays flat.

Each kind of work is a process of its own that checks every result. Their memory, that of the server's front, of its
fork server and of each session's process is sampled (proportional set size, so that shared pages are counted once),
with their descriptors and threads. After a sixth of the time, which is for warming up, what is left is cut into thirds;
the mean of the last one is compared with the mean of the first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psutil

from bench.rig import private_server
from bench.server import server
from skytorch_wire import sessions_pb2, sessions_pb2_grpc

from .cuts import QUICK
from .proxy import proxy
from .soak_work import WORK
from .traces import Traces, alive, family, own_temporary_folder, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .proxy import Proxy

FLAT = 1.02
_WARM = 1 / 6
_COVERED = 0.8  # of the time: what wasn't there so long says nothing
_SAMPLE_SECONDS = 5.0
_CUT_SECONDS = (5.0, 25.0)
_END_SECONDS = 60.0
_ANSWER_SECONDS = 20.0
_OUTPUT = Path("build/soak")


@dataclass(frozen=True)
class Sample:
    """What a process held at a moment. MiB."""

    seconds: float
    mebibytes: float
    descriptors: int
    threads: int


@dataclass
class Client:
    """A process that works."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def progress(self) -> str:
        """The last thing that it said."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return lines[-1] if lines else "said nothing"


def mebibytes(pid: int) -> float:
    """Of a process, its share of shared pages included; without those of files, which are torch's for all."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))) / 1024


def sample(pid: int, began: float) -> Sample:
    """What a process holds now. Raises OSError when it is gone."""
    return Sample(
        time.monotonic() - began,
        mebibytes(pid),
        sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()),
    )


class Soak:
    """The server, the clients, and what was sampled of them."""

    def __init__(self, place: str, between: Proxy, folder: Path) -> None:
        self._place = place
        self._between = between
        self._folder = folder
        self.clients: list[Client] = []
        self.samples: defaultdict[str, list[Sample]] = defaultdict(list)
        self.cuts = 0
        self.unanswered: list[str] = []

    def start(self, names: list[str]) -> None:
        """Starts the clients."""
        for name in names:
            way = self._between.address if WORK[name].cut else f"grpc://{self._place}"
            log = self._folder / f"{name}.log"
            with log.open("w", encoding="utf-8") as file:
                command = [sys.executable, "-m", "tests.faults.soak_work", name, way]
                process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, text=True)
            self.clients.append(Client(name, process, log))

    def run(self, seconds: float, *, cutting: bool) -> list[str]:
        """Samples until the time is up, or a client ends; what went wrong."""
        began = time.monotonic()
        chosen = random.Random(0)
        next_cut = chosen.uniform(*_CUT_SECONDS)
        while (now := time.monotonic() - began) < seconds:
            for client in self.clients:
                if client.process.poll() is not None:
                    return [
                        f"{client.name} ended with {client.process.returncode} after {now:.0f} s: {client.progress()}"
                    ]
            if cutting and now > next_cut:
                self._between.cut(chosen.choice(QUICK))
                self.cuts += 1
                next_cut = now + chosen.uniform(*_CUT_SECONDS)
            for name, pid in self._processes():
                with contextlib.suppress(OSError):
                    self.samples[name].append(sample(pid, began))
            time.sleep(_SAMPLE_SECONDS)
        return []

    def end(self) -> list[str]:
        """Ends the clients as a kernel ends, and says which of them wouldn't."""
        for client in self.clients:
            if client.process.poll() is None:
                client.process.send_signal(signal.SIGTERM)
        problems = []
        deadline = time.monotonic() + _END_SECONDS
        for client in self.clients:
            try:
                client.process.wait(max(deadline - time.monotonic(), 1.0))
            except subprocess.TimeoutExpired:
                client.process.kill()
                client.process.wait()
                problems.append(f"{client.name} didn't end when it was asked to")
            else:
                # Between two programs (the visitor is one after the other) nobody listens for the signal yet.
                if client.process.returncode not in {0, -signal.SIGTERM}:
                    problems.append(f"{client.name} ended with {client.process.returncode}: {client.progress()}")
        return problems

    def _processes(self) -> Iterator[tuple[str, int]]:
        for client in self.clients:
            yield f"client {client.name}", client.process.pid
        listed = self._sessions()
        workers = {session.pid for session in listed}
        for session in listed:
            if session.name in WORK and not WORK[session.name].comes_and_goes:
                yield f"session {session.name}", session.pid
        front = next((process for pid in workers for process in _above(pid)), None)
        if front is not None:
            yield "front", front.pid
            others = [child.pid for child in front.children(recursive=True) if child.pid not in workers]
            for number, pid in enumerate(sorted(others)):
                yield f"front's child {number}", pid

    def _sessions(self) -> Sequence[sessions_pb2.Session]:
        with grpc.insecure_channel(self._place) as channel:
            try:
                request = sessions_pb2.ListSessionsRequest()
                return sessions_pb2_grpc.SessionsStub(channel).List(request, timeout=_ANSWER_SECONDS).sessions
            except grpc.RpcError as error:
                self.unanswered.append(str(error.code()))
                return []


def _above(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process for process in psutil.Process(pid).parents() if "skytorch_server" in process.cmdline()]
    return []


@dataclass(frozen=True)
class Row:
    """One process: first and last third after the warm-up."""

    name: str
    first: float
    last: float
    peak: float
    descriptors: tuple[float, float]
    threads: tuple[float, float]

    @property
    def flat(self) -> bool:
        return self.last <= self.first * FLAT and self.descriptors[1] <= self.descriptors[0] * FLAT

    def __str__(self) -> str:
        change = (self.last / self.first - 1) * 100
        return (
            f"| {self.name} | {self.first:.1f} | {self.last:.1f} | {change:+.2f} % | {self.peak:.1f} | "
            f"{self.descriptors[0]:.1f} → {self.descriptors[1]:.1f} | {self.threads[0]:.1f} → {self.threads[1]:.1f} | "
            f"{'yes' if self.flat else 'NO'} |"
        )


HEAD = (
    "| process | first third, MiB | last third, MiB | change | peak, MiB | descriptors | threads | flat |\n"
    "|---|---|---|---|---|---|---|---|"
)


def rows(samples: dict[str, list[Sample]], seconds: float) -> list[Row]:
    """What stayed and what grew, of processes that were there all the time; and both sides' sums."""
    found = []
    sums: dict[str, list[Row]] = {"all clients": [], "the server": []}
    kept = {name: [one for one in taken if one.seconds > seconds * _WARM] for name, taken in sorted(samples.items())}
    for name, warm in kept.items():
        third = len(warm) // 3
        if third == 0 or len(warm) < _COVERED * max(map(len, kept.values())):
            continue
        one, other = warm[:third], warm[-third:]
        found.append(_row(name, one, other, max(each.mebibytes for each in samples[name])))
        sums["all clients" if name.startswith("client") else "the server"].append(found[-1])
    for name, parts in sums.items():
        if parts:
            found.append(_sum(name, parts))
    return found


def _row(name: str, one: list[Sample], other: list[Sample], peak: float) -> Row:
    def mean(part: list[Sample], what: str) -> float:
        return statistics.fmean(getattr(each, what) for each in part)

    return Row(
        name,
        mean(one, "mebibytes"),
        mean(other, "mebibytes"),
        peak,
        (mean(one, "descriptors"), mean(other, "descriptors")),
        (mean(one, "threads"), mean(other, "threads")),
    )


def _sum(name: str, parts: list[Row]) -> Row:
    return Row(
        name,
        sum(row.first for row in parts),
        sum(row.last for row in parts),
        sum(row.peak for row in parts),
        (sum(row.descriptors[0] for row in parts), sum(row.descriptors[1] for row in parts)),
        (sum(row.threads[0] for row in parts), sum(row.threads[1] for row in parts)),
    )


def main() -> int:
    """The command line; the exit status is 1 if a result was wrong, a client was lost or a side grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--work", nargs="*", choices=sorted(WORK), default=sorted(WORK))
    parser.add_argument("--no-cuts", dest="cutting", action="store_false", help="leave the proxied connections alone")
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    seconds = options.minutes * 60
    with own_temporary_folder():
        soak, problems = _soak(options, seconds)
    table = rows(soak.samples, seconds)
    problems += [f"{row.name} grew" for row in table if row.name in {"all clients", "the server"} and not row.flat]
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    lines = [
        f"{options.minutes:g} minutes, {len(soak.clients)} clients, {soak.cuts} cuts, {when} UTC",
        f"load {os.getloadavg()[0]:.1f} at the end",
        *(f"{client.name}: {client.progress()}" for client in soak.clients),
        "",
        HEAD,
        *map(str, table),
        "",
        *(problems or ["nothing was wrong"]),
    ]
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    (options.output / "soak.md").write_text(text, encoding="utf-8")
    raw = {name: [vars(each) for each in taken] for name, taken in soak.samples.items()}
    (options.output / "samples.json").write_text(json.dumps(raw), encoding="utf-8")
    return bool(problems)


def _soak(options: argparse.Namespace, seconds: float) -> tuple[Soak, list[str]]:
    before = Traces.now()
    with ExitStack() as stack:
        stack.enter_context(private_server())
        place = stack.enter_context(server())
        processes = family(psutil.Process().children()[-1].pid)
        soak = Soak(place, stack.enter_context(proxy(place)), options.output)
        try:
            soak.start(options.work)
            problems = soak.run(seconds, cutting=options.cutting)
        finally:
            ended = soak.end()
        problems += ended
        if soak.unanswered:
            problems.append(f"the server didn't answer {len(soak.unanswered)} times: {soak.unanswered[0]}")
    if not until(lambda: not alive(processes), _END_SECONDS):
        problems.append(f"still running: {alive(processes)}")
    if not until(lambda: not Traces.now().beyond(before), _END_SECONDS):
        problems.append(f"left behind: {Traces.now().beyond(before)}")
    return soak, problems


if __name__ == "__main__":
    sys.exit(main())
