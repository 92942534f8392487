"""``python -m tests.faults.interrupts``: a training that is interrupted at random moments, in a real kernel.

Ten counters are raised in turn, one op each, beside the training. After an interrupt they must stand as they do after
some whole number of ops, all of them executed in order; the model must be whole, and go on in the next cell.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass, field

from bench.rig import private_server
from tests.magics.conftest import Kernel

SETUP = """
import torch
import torch.nn.functional as F
%load_ext jupyter_skytorch
compute = %sky connect
sky = compute.device('cpu')
from tests.faults.training import Training
training = Training(sky)
trainer = training.run()
counters = [torch.zeros((), dtype=torch.int64, device=sky) for _ in range(10)]
ballast = torch.randn(WIDTH, WIDTH, device=sky)
"""
# The optimizer's state is made in the first step, by Python: an interrupt in there leaves half of it, on any device.
BEGIN = """%%sky
next(trainer)
"""
# How it goes on until it is interrupted: with ops that take no time, or so long that they have to be cancelled.
QUICK, SLOW = 8, 2500
WORK = """%%sky
print('begun', flush=True)
while True:
    next(trainer)
    for counter in counters:
        counter.add_(1)
    if SLOW:
        for _ in range(4):
            ballast @ ballast
"""
LOOK = """
weights = [value.cpu() for value in training.model.state_dict().values()]
assert all(value.isfinite().all() for value in weights), 'weights are not finite'
[counter.item() for counter in counters]
"""
# The generator was stopped with the cell; what it trained goes on.
AGAIN = """%%sky
trainer = training.run()
for _ in range(2): next(trainer)
assert all(counter.add_(1).item() == before + 1 for counter, before in zip(counters, BEFORE))
"""


@dataclass
class Outcome:
    """What came of some interrupts."""

    interrupts: int = 0
    cancelled: int = 0
    """After which something that was issued was skipped."""
    counted: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def interrupted(count: int, *, slow: bool, seed: int) -> Outcome:
    """Interrupts a training so often."""
    outcome = Outcome()
    moments = random.Random(seed)
    kernel = Kernel()
    try:
        kernel.ok(SETUP.replace("WIDTH", str(SLOW if slow else QUICK)))
        kernel.ok(BEGIN)
        for number in range(count):
            after = moments.uniform(0.0, 1.0)
            result = kernel.run(
                WORK.replace("SLOW", str(slow)), during=kernel.interrupt_when_printed("begun", after=after)
            )
            outcome.interrupts += 1
            where = f"interrupt {number} after {after:.2f} s"
            if not result.error.startswith("KeyboardInterrupt"):
                outcome.problems.append(f"{where}: {result.error or result.status}\n{result.traceback}")
                break
            found = kernel.run(LOOK)
            if found.status != "ok":
                outcome.problems.append(f"{where}: {found.error}")
                break
            counters = [int(value) for value in found.value.strip("[]").split(",")]
            outcome.counted.append(sum(counters))
            if sorted(counters, reverse=True) != counters or counters[0] - counters[-1] > 1:
                outcome.problems.append(f"{where}: ops were executed out of order, or left out: {counters}")
            outcome.cancelled += counters[0] != counters[-1]
            again = kernel.run(AGAIN.replace("BEFORE", str(counters)))
            if again.status != "ok":
                outcome.problems.append(f"{where}: the next cell: {again.error}")
                break
            # Level again, for the next comparison.
            kernel.ok("for counter in counters: counter.fill_(0)")
    finally:
        kernel.end()
    return outcome


def main() -> int:
    """The command line; the exit status is 1 if a model was torn, or a next cell failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.interrupts", description=__doc__)
    parser.add_argument("--interrupts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    for slow in (False, True):
        with private_server():
            outcome = interrupted(options.interrupts // 2, slow=slow, seed=options.seed)
        failed |= bool(outcome.problems)
        kind = "slow ops" if slow else "quick ops"
        sys.stdout.write(
            f"{kind}: {outcome.interrupts} interrupts, {outcome.cancelled} in the middle of the counters; "
            f"{'; '.join(outcome.problems) or 'all whole'}\n"
        )
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
