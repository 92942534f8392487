"""``python -m tests.faults.resumes``: one training through many kills of its server, from checkpoint to checkpoint."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field

import psutil

import jupyter_skytorch as sky
from bench.rig import private_server
from bench.server import server

from .traces import own_temporary_folder
from .training import Training, differences, trained

CHECKPOINT_EVERY = 5
_LATEST_SECONDS = 2.0
_NAME = "run"


@dataclass
class Resumes:
    """What became of the training."""

    steps: int = 0
    """That the last checkpoint which was confirmed holds."""
    lost: list[int] = field(default_factory=list)
    """Steps that were done after it, at each kill."""
    resumed_seconds: list[float] = field(default_factory=list)
    """From the new server's first connection to the restored training."""
    errors: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def resume_through(kills: int, seed: int = 0) -> Resumes:
    """Trains while the server is killed so many times; then compares with a training that nothing happened to."""
    chosen = random.Random(seed)
    found = Resumes()
    with own_temporary_folder(), private_server(), tempfile.TemporaryDirectory() as folder:
        for number in range(kills + 1):
            with server("--checkpoint-dir", folder) as place:
                moment = chosen.uniform(0.0, _LATEST_SECONDS) if number < kills else None
                _train(f"grpc://{place}", moment, found)
    return found


def _train(address: str, moment: float | None, found: Resumes) -> None:
    """One server's life: until it is killed at that moment, or, without one, until the next checkpoint."""
    compute = sky.connect(address, name="victim")
    try:
        device = compute.device("cpu")
        began = time.monotonic()
        training = Training(device)
        if compute.restorable:
            compute.restore(_NAME)
            training = Training.resumed(device, compute.load(_NAME))
            found.resumed_seconds.append(time.monotonic() - began)
        done = int(training.steps)
        # Killed after the checkpoint was written and before its confirmation came, a server has a newer one.
        if done not in {found.steps, found.steps + CHECKPOINT_EVERY}:
            found.problems.append(f"resumed at step {done}, and the last checkpoint was at {found.steps}")
        found.steps = done
        killer = None if moment is None else threading.Timer(moment, os.kill, (_front(compute), signal.SIGKILL))
        for done in training.run():
            if done % CHECKPOINT_EVERY == 0:
                compute.save(_NAME, training.state())
                compute.checkpoint(_NAME)
                found.steps = done
                if killer is None:
                    break
                if killer.ident is None:
                    # Only now, so that there is something to resume from however slow the machine is.
                    killer.start()
        if different := differences(training.result(), trained(device, done)):
            found.problems.append(f"different after {done} steps: {different}")
    except sky.SessionLost as error:
        found.errors.append(str(error))
        found.lost.append(done - found.steps)
    finally:
        compute.close()


def _front(compute: sky.Compute) -> int:
    worker = next(s.pid for s in compute.sessions() if s.session_id == compute.session().id)
    return next(parent.pid for parent in psutil.Process(worker).parents() if "skytorch_server" in parent.cmdline())


def main() -> int:
    """The command line; the exit status is 1 if anything but the steps since the last checkpoint was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.resumes", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # What PyTorch imports at the first step of a process takes seconds, in which nobody is killed.
    next(Training("cpu").run())
    found = resume_through(options.kills, options.seed)
    seconds = sorted(found.resumed_seconds) or [0.0]
    sys.stdout.write(
        f"{len(found.errors)} kills, {found.steps} steps in the end, {sum(found.lost)} of them done again "
        f"({max(found.lost, default=0)} at most); restored after {seconds[len(seconds) // 2]:.2f} s (median), "
        f"{seconds[-1]:.2f} s at most\n"
    )
    for problem in found.problems:
        sys.stdout.write(f"{problem}\n")
    return bool(found.problems) or len(found.errors) != options.kills


if __name__ == "__main__":
    sys.exit(main())
