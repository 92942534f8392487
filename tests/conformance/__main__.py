"""`python -m tests.conformance`: PyTorch's operator database on sky, and what of it holds."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from . import table
from .operators import Pair, pairs
from .shards import Outcome, run

PAGE = Path(__file__).parents[2] / "docs/conformance.md"


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
    outcomes = {pair: outcomes[pair] for pair in chosen}
    records = [{**vars(pair), **vars(outcome)} for pair, outcome in outcomes.items()]
    (options.output / "outcomes.json").write_text(json.dumps(records), encoding="utf-8")
    whole = options.samples is None
    if whole and len(chosen) == len(pairs()):
        PAGE.write_text(table.page(outcomes, torch.__version__), encoding="utf-8")
    problems = table.unexpected(outcomes) + (table.outdated(outcomes) if whole else [])
    held = sum(outcome.holds for outcome in outcomes.values())
    print(*problems, sep="\n")  # noqa: T201
    print(f"{held} of {len(outcomes)} pairs hold, {time.monotonic() - begin:.0f} s")  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
