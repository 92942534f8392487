"""Sessions that issue as fast as they can, and how long a quiet one beside them waits for a value.

``python -m tests.faults.flood`` prints the figures; ``--help`` says what can be changed.
"""

from __future__ import annotations

import argparse
import select
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import quantiles

import torch

import jupyter_skytorch as sky
from bench.server import server

_LARGE = 512
_PAUSE_SECONDS = 0.005


@dataclass(frozen=True)
class Waits:
    """How long `.item()` took in the quiet session, in seconds."""

    alone: list[float]
    beside: list[float]
    """While the others flooded."""
    flooded: int
    """Ops that the others had executed meanwhile."""

    def __str__(self) -> str:
        return (
            f"quiet .item(), alone: {_figures(self.alone)}; beside the flood: {_figures(self.beside)}; "
            f"the others executed {self.flooded:,} ops meanwhile"
        )


def percentile(values: list[float], percent: int) -> float:
    """The value that so many percent of the values don't exceed."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _figures(values: list[float]) -> str:
    parts = [f"p{percent} {percentile(values, percent) * 1e3:.2f} ms" for percent in (50, 99)]
    return ", ".join([*parts, f"max {max(values) * 1e3:.2f} ms"])


def flood(*, sessions: int, clients: int, reads: int) -> Waits:
    """Has so many sessions flood, from so many processes, and reads in another one at the same time."""
    with server() as place, ExitStack() as stack:
        address = f"grpc://{place}"
        quiet = stack.enter_context(sky.connect(address, name="quiet"))
        value = torch.ones(4, device=quiet.device("cpu"))
        alone = _read(value, reads)
        shares = [sessions // clients + (number < sessions % clients) for number in range(clients)]
        command = [sys.executable, "-m", "tests.faults.flood", "--at", address, "--sessions"]
        flooders = [
            subprocess.Popen([*command, str(share)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for share in shares
            if share
        ]
        for flooder in flooders:
            stack.enter_context(flooder)
            stack.callback(flooder.kill)
        for flooder in flooders:
            if flooder.stdout is None or flooder.stdout.readline() != "flooding\n":
                raise RuntimeError("a client that was to flood ended before it did")
        before = _executed(quiet)
        beside = _read(value, reads)
        executed = _executed(quiet) - before
        for flooder in flooders:
            if flooder.stdin is not None:
                flooder.stdin.close()
        ended = [flooder.wait(timeout=60) for flooder in flooders]
        if any(ended):
            raise RuntimeError(f"a client that flooded ended with status {max(ended)}")
        return Waits(alone, beside, executed)


def _read(value: torch.Tensor, reads: int) -> list[float]:
    waits = []
    for _ in range(reads):
        time.sleep(_PAUSE_SECONDS)  # who is quiet does something else in between
        began = time.perf_counter()
        value[0].item()
        waits.append(time.perf_counter() - began)
    return waits


def _executed(quiet: sky.Compute) -> int:
    return sum(session.stats.operations for session in quiet.sessions() if session.name != quiet.name)


def _flood(address: str, sessions: int) -> None:
    """Issues small ops and large ones in turn, until standard input ends."""
    computes = [sky.connect(address, name=f"flood-{number}") for number in range(sessions)]
    small = [torch.zeros(16, device=compute.device("cpu")) for compute in computes]
    large = [torch.eye(_LARGE, device=compute.device("cpu")) for compute in computes]
    sys.stdout.write("flooding\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0)[0]:
        for number in range(sessions):
            for _ in range(200):
                small[number] = small[number] + 1
            large[number] = large[number] @ large[number]
    for compute in computes:
        compute.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=15, help="that flood")
    parser.add_argument("--clients", type=int, default=5, help="processes that they come from")
    parser.add_argument("--reads", type=int, default=2000, help="in the quiet session, alone and beside the flood")
    parser.add_argument("--at", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.at:
        _flood(options.at, options.sessions)
        return
    waits = flood(sessions=options.sessions, clients=options.clients, reads=options.reads)
    sys.stdout.write(f"{options.sessions} sessions flooding from {options.clients} processes: {waits}\n")


if __name__ == "__main__":
    main()
