"""``python -m tests.faults.kills``: servers that are killed at random moments of what a client does with them."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import psutil
import torch

import jupyter_skytorch as sky
from bench.rig import private_server
from bench.server import server

from .traces import Traces, alive, family, own_temporary_folder, until
from .training import Training

if TYPE_CHECKING:
    from jupyter_skytorch import Compute

Kind = Literal["embedded", "port"]
Victim = Literal["front", "worker"]
KINDS: tuple[Kind, ...] = ("embedded", "port")

PATIENCE_SECONDS = 5.0
"""Within which the client has to be told."""
_CLEAN_SECONDS = 15.0
_HANG_SECONDS = 60.0
_LATEST_SECONDS = 1.5


@dataclass
class Outcome:
    """One server's end."""

    kind: Kind
    victim: Victim
    moment: float
    """Seconds after the client began."""
    told: float
    """Seconds until the client was told."""
    error: str
    problems: list[str]

    def __str__(self) -> str:
        return (
            f"{self.kind}, {self.victim} killed after {self.moment:.2f} s: told after {self.told:.2f} s, {self.error}"
            + "".join(f"\n    {problem}" for problem in self.problems)
        )


def work(compute: Compute) -> None:
    """What goes on until the server is gone: training, reads one by one, large tensors both ways."""
    device = compute.device("cpu")
    trainer = Training(device).run()
    large = torch.arange(4 << 20, dtype=torch.int32)
    while True:
        for _ in range(20):
            next(trainer)
        there = large.add_(1).to(device)
        x = torch.zeros((), device=device)
        for _ in range(50):
            x = x + 1
            x.item()
        if not torch.equal(there.cpu(), large):
            raise AssertionError("what came back isn't what was sent")


def kill_once(kind: Kind, victim: Victim, moment: float) -> Outcome:
    """Starts a server and works on it, and kills it after so many seconds."""
    with own_temporary_folder():
        return _kill_once(kind, victim, moment)


def _kill_once(kind: Kind, victim: Victim, moment: float) -> Outcome:
    before = Traces.now()
    problems: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(private_server())
        if kind == "embedded":
            compute = stack.enter_context(sky.connect(name="victim"))
        else:
            place = stack.enter_context(server())
            compute = stack.enter_context(sky.connect(f"grpc://{place}", name="victim"))
        worker = next(s.pid for s in compute.sessions() if s.session_id == compute.session().id)
        front = next(parent.pid for parent in psutil.Process(worker).parents() if "skytorch_server" in parent.cmdline())
        processes = family(front)
        at = [0.0]

        def kill() -> None:
            at[0] = time.monotonic()
            os.kill(front if victim == "front" else worker, signal.SIGKILL)

        killer = threading.Timer(moment, kill)
        killer.start()
        stack.callback(killer.cancel)
        watch = threading.Timer(moment + _HANG_SECONDS, _hang)
        watch.daemon = True
        watch.start()
        stack.callback(watch.cancel)
        error = ""
        try:
            work(compute)
        except sky.SkyError as told:
            error = f"{type(told).__name__}: {told}"
        took = time.monotonic() - at[0]
        watch.cancel()
        killer.join()
        if "victim" not in error or not error.startswith("SessionLost"):
            problems.append("the error names nothing")
        if took > PATIENCE_SECONDS:
            problems.append(f"the client was told only after {took:.1f} s")
        compute.close()
        gone = processes if victim == "front" else [process for process in processes if process.pid == worker]
        if not until(lambda: not alive(gone), _CLEAN_SECONDS):
            problems.append(f"still running: {[process.name() for process in alive(gone)]}")
    if not until(lambda: not Traces.now().beyond(before), _CLEAN_SECONDS):
        problems.append(f"left behind: {Traces.now().beyond(before)}")
    return Outcome(kind, victim, moment, took, error, problems)


def _hang() -> None:
    import faulthandler

    faulthandler.dump_traceback()
    sys.stderr.write(f"the client has not been told for {_HANG_SECONDS:.0f} s\n")
    os._exit(2)


def main() -> int:
    """The command line; the exit status is 1 if a client wasn't told in time, or anything was left behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--victim", choices=("front", "worker"), default="front")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    began = None
    outcomes: list[Outcome] = []
    # What PyTorch imports at the first step of a process takes seconds, in which nobody can be told anything.
    next(Training("cpu").run())
    for number in range(options.kills):
        outcomes.append(kill_once(KINDS[number % 2], options.victim, moments.uniform(0.0, _LATEST_SECONDS)))
        began = began or Traces.now()
        if outcomes[-1].problems:
            sys.stdout.write(f"{outcomes[-1]}\n")
            sys.stdout.flush()
    told = sorted(outcome.told for outcome in outcomes)
    now = Traces.now()
    held = (
        f"descriptors {began.descriptors} -> {now.descriptors}, threads {began.threads} -> {now.threads}"
        if began
        else ""
    )
    sys.stdout.write(
        f"{len(outcomes)} kills of the {options.victim}: told after {told[len(told) // 2]:.2f} s (median), "
        f"{told[-1]:.2f} s at most; {sum(bool(outcome.problems) for outcome in outcomes)} with problems; "
        f"this process: {held}\n"
    )
    return any(outcome.problems for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
