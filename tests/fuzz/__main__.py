"""``python -m tests.fuzz``: a million inputs, or as many as asked for, to all that takes bytes from strangers."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from . import calls, corpus, door, interpreter, libfuzzer

TARGETS = ("decoder", "interpreter", "calls", "door")
# A connection costs more than a message, and a call more than a record.
SHARE = {"decoder": 1.0, "interpreter": 1.0, "calls": 0.1, "door": 0.01}


def main() -> int:
    """The command line; the exit status is 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument(
        "--runs", type=int, default=1_000_000, help="inputs; a tenth of it calls, a hundredth connections"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"))
    options = parser.parse_args()
    targets = options.targets or TARGETS
    if unknown := sorted(set(targets) - set(TARGETS)):
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    options.output.mkdir(parents=True, exist_ok=True)
    inputs, session = corpus.write(options.output)
    found = False
    for target in targets:
        began = time.monotonic()
        runs = max(int(options.runs * SHARE[target]), 1)
        problems: list[str] = []
        if target == "decoder":
            try:
                libfuzzer.build(options.output / "records")
                told = libfuzzer.run(options.output / "records", inputs, runs, options.seed)
            except libfuzzer.FuzzError as error:
                told, problems = "something was found", [str(error)]
        elif target == "interpreter":
            run = interpreter.Run(session, options.output, options.seed)
            run.run(runs)
            told, problems = str(run), run.crashes
        elif target == "calls":
            told, problems = calls.beside_a_bystander(runs, options.seed)
        else:
            told, problems = door.beside_a_bystander(runs, options.seed)
        load = os.getloadavg()[0]
        sys.stdout.write(f"{target}: {told}; {time.monotonic() - began:.0f} s, load {load:.1f}\n")
        for problem in problems:
            sys.stdout.write(f"  {problem}\n")
        sys.stdout.flush()
        found |= bool(problems)
    return found


if __name__ == "__main__":
    sys.exit(main())
