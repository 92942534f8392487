"""`python -m tests.conformance`: PyTorch's operator database on sky, and what of it holds."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from .operators import Pair, pairs
from .shards import Outcome, run


def main() -> int:
    """Checks the pairs that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("ops", nargs="*", help="names of operators (all)")
    parser.add_argument("--dtype", action="append", help="only this dtype, as often as wanted")
    parser.add_argument("--samples", type=int, help="at most so many samples of a pair (all)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("build/conformance"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    chosen = [
        pair
        for pair in pairs()
        if (not options.ops or pair.op in options.ops) and (not options.dtype or pair.dtype in options.dtype)
    ]
    outcomes: dict[Pair, Outcome] = {}
    begin = time.monotonic()

    def tell(pair: Pair, outcome: Outcome) -> None:
        outcomes[pair] = outcome
        if not outcome.holds:
            print(f"{pair}: {outcome.reason[:160]}", flush=True)  # noqa: T201

    run(chosen, workers=options.workers, samples=options.samples, log=options.output / "log", on_outcome=tell)
    records = [{**vars(pair), **vars(outcome)} for pair, outcome in outcomes.items()]
    (options.output / "outcomes.json").write_text(json.dumps(records))
    held = sum(outcome.holds for outcome in outcomes.values())
    print(f"{held} of {len(outcomes)} pairs hold, {time.monotonic() - begin:.0f} s")  # noqa: T201
    return 0 if held == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
