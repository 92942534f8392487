"""``python -m tests.fuzz.bystander ADDRESS``: trains until SIGTERM; fails if it came out otherwise than undisturbed."""

from __future__ import annotations

import signal
import sys

import torch

import jupyter_skytorch as sky
from tests.faults.training import Training, differences, trained


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """The exit status: 1 if anything is different."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    torch.set_num_threads(1)
    with sky.connect(sys.argv[1], name="bystander") as compute:
        training = Training(compute.device("cpu"))
        _say("training")
        for step in training.run():
            if asked and step >= 20:
                break
        found = training.result()
    with sky.connect(sys.argv[1], name="undisturbed") as compute:
        different = differences(found, trained(compute.device("cpu"), step))
    _say(f"{step} steps, {len(different)} results differ")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
