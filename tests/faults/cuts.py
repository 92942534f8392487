"""``python -m tests.faults.cuts``: a training whose link is cut, stalled and reordered, beside one left alone."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jupyter_skytorch as sky
from bench.server import server
from skytorch_wire import sessions_pb2

from .proxy import Cut, proxy
from .training import Training, differences, trained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_skytorch import Compute

    from .proxy import Proxy

STALL_SECONDS = 2.0
_APART = (0.02, 0.6)
_LONGEST_SECONDS = 60.0
# The kinds of cut that both ends can notice; what goes silent is noticed by patience, which takes longer.
QUICK: tuple[Cut, ...] = ("reset", "end", "near")


@dataclass
class Outcome:
    """What came of a training with faults."""

    way: str
    faults: int
    steps: int
    seconds: float
    connections: int
    late: int
    different: list[str]
    issued: int
    ops: int
    stats: sessions_pb2.SessionStats
    """The server's, of the session."""
    error: str = ""
    longest: float = 0.0
    """Seconds that one step took."""

    problems: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.problems = []
        if self.error:
            self.problems.append(self.error)
        if self.different:
            self.problems.append(f"{len(self.different)} results differ: {', '.join(self.different[:4])}")
        if self.issued != self.stats.executed:
            self.problems.append(f"{self.issued} records were issued and {self.stats.executed} executed")
        if self.ops != self.stats.operations:
            self.problems.append(f"{self.ops} ops were issued and {self.stats.operations} executed")

    def __str__(self) -> str:
        return (
            f"{self.way}: {self.faults} faults in {self.steps} steps, {self.seconds:.0f} s, "
            f"longest step {self.longest:.2f} s, {self.connections} connections, {self.late} bytes late; "
            f"{self.issued} records issued, {self.stats.executed} executed, {self.ops} ops issued, "
            f"{self.stats.operations} executed; "
            f"{'; '.join(self.problems) or 'all the same'}"
        )


def disturbed(
    fault: Callable[[Proxy], None], count: int, *, tunnels: bool, seed: int, apart: Sequence[float]
) -> Outcome:
    """Trains while `count` faults happen at random moments, and as long again without any."""
    with ExitStack() as stack:
        place = stack.enter_context(server("--no-direct"))
        between = stack.enter_context(proxy(place, tunnels=tunnels))
        compute = stack.enter_context(sky.connect(between.address, name="disturbed"))
        way = "tunnel" if compute.session().way.door else "relay"
        training = Training(compute.device("cpu"))
        trainer = training.run()
        done, longest, error = next(trainer), 0.0, ""
        torn = _Tearing(between, fault, count, seed, apart)
        torn.start()
        began = last = time.monotonic()
        try:
            while torn.is_alive():
                done = next(trainer)
                now = time.monotonic()
                longest, last = max(longest, now - last), now
            # What was issued last survives too.
            done = next(trainer)
            found = training.result()
        except sky.SkyError as problem:
            found, error = {}, f"{type(problem).__name__}: {problem}"
        torn.stop()
        seconds = time.monotonic() - began
        issued, ops = compute.session()._sink.counters()["issued"], compute.session().counters().ops
        stats = _stats(compute, stack.enter_context(sky.connect(f"grpc://{place}", name="undisturbed")))
        undisturbed = sky.connect("undisturbed")
        different = [] if error else differences(found, trained(undisturbed.device("cpu"), done))
        counts = between.counts()
        return Outcome(
            way,
            torn.faults,
            done,
            seconds,
            counts.connections,
            counts.late,
            different,
            issued,
            ops,
            stats,
            error,
            longest,
        )


def _stats(compute: Compute, other: Compute) -> sessions_pb2.SessionStats:
    """What the server counted in a session: asked on a connection that isn't disturbed."""
    found = (session.stats for session in other.sessions() if session.session_id == compute.session().id)
    return next(found, sessions_pb2.SessionStats())


class _Tearing(threading.Thread):
    """Causes faults at random moments."""

    def __init__(
        self, between: Proxy, fault: Callable[[Proxy], None], count: int, seed: int, apart: Sequence[float]
    ) -> None:
        super().__init__(daemon=True)
        self.faults = 0
        self._between, self._fault, self._count = between, fault, count
        self._apart = apart
        self._random = random.Random(seed)
        self._ended = threading.Event()

    def run(self) -> None:
        while self.faults < self._count and not self._ended.wait(self._random.uniform(*self._apart)):
            self._fault(self._between)
            self.faults += 1

    def stop(self) -> None:
        self._ended.set()
        self.join(_LONGEST_SECONDS)


def cuts(kinds: Sequence[Cut], seed: int) -> Callable[[Proxy], None]:
    """A fault that is one of these cuts."""
    chosen = random.Random(seed)
    return lambda between: between.cut(chosen.choice(kinds))


def stall(between: Proxy) -> None:
    """A fault that passes by itself."""
    between.stall(STALL_SECONDS)


def sleep(between: Proxy) -> None:
    """A fault as of a laptop that is closed: this process stands still, and when it goes on its connection is gone."""
    between.cut("near")
    program = "import os, signal, sys, time; pid = int(sys.argv[1]); os.kill(pid, signal.SIGSTOP); "
    program += "time.sleep(float(sys.argv[2])); os.kill(pid, signal.SIGCONT)"
    subprocess.run([sys.executable, "-c", program, str(os.getpid()), str(STALL_SECONDS)], check=True)


def main() -> int:
    """The command line; the exit status is 1 if anything was lost, repeated or told to the user."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--stalls", type=int, default=50)
    parser.add_argument("--reorders", type=int, default=50)
    parser.add_argument("--sleeps", type=int, default=10)
    parser.add_argument("--way", choices=("tunnel", "relay", "both"), default="both")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    plans = (
        ("cuts", cuts(QUICK, options.seed), options.cuts, _APART),
        ("stalls", stall, options.stalls, (STALL_SECONDS, STALL_SECONDS + 0.5)),
        ("reorders", cuts(("late",), options.seed), options.reorders, _APART),
        ("sleeps", sleep, options.sleeps, _APART),
    )
    failed = False
    for tunnels in [way == "tunnel" for way in ("tunnel", "relay") if options.way in {way, "both"}]:
        for name, fault, count, apart in plans:
            if count:
                outcome = disturbed(fault, count, tunnels=tunnels, seed=options.seed, apart=apart)
                failed |= bool(outcome.problems)
                sys.stdout.write(f"{name}: {outcome}\n")
                sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
