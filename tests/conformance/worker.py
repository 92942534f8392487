"""A process that checks pairs, one after the other: they come as lines on its input, and go as lines of JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings

import torch

import jupyter_skytorch
from bench.embedded import private_runtime
from jupyter_skytorch import Compute

from .operators import Check, Pair

# One line a result; the reader splits on it.
MAX_REASON = 400
MAX_ERRORS = 1000


def main() -> None:
    """Answers on the descriptor that was the standard output, which PyTorch's own samples print to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int)
    samples: int | None = parser.parse_args().samples
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with private_runtime() as runtime:
        os.environ["JUPYTER_RUNTIME_DIR"] = str(runtime)
        with jupyter_skytorch.connect() as compute:
            device = compute.device("cpu")
            for line in sys.stdin:
                pair = Pair(**json.loads(line))
                outcome = check(pair, device, samples)
                forget_errors(compute)
                if compute.session().state != "live":
                    outcome["reason"] = f"crash: {compute.session().reason}"
                answers.write(json.dumps(outcome) + "\n")


def forget_errors(compute: Compute) -> None:
    """Raises what the server has to say of a pair before the next one begins; each error is raised once."""
    for _ in range(MAX_ERRORS):
        try:
            compute.session().synchronize()
        except Exception:  # noqa: BLE001, S112 (the pair has its reason already)
            continue
        return


def check(pair: Pair, device: torch.device, samples: int | None) -> dict[str, str | int]:
    """What came of a pair: the number of samples, and why it does not hold if it does not."""
    try:
        return {"samples": Check(pair, device).run(samples), "reason": ""}
    except Exception as error:  # noqa: BLE001 (the reason is what is asked for)
        name = type(error).__name__
        text = " ".join(str(error).split())
        return {"samples": 0, "reason": f"{name}: {text}"[:MAX_REASON]}


if __name__ == "__main__":
    main()
