"""Many sessions on one server, each training a model of its own, and each right to the last bit.

``python -m tests.faults.crowd`` prints the figures; ``--help`` says what can be changed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import torch
import torch.nn.functional as F  # noqa: N812

import jupyter_skytorch as sky
from bench.server import server

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEPS = 30
_SECONDS = 600.0


@dataclass(frozen=True)
class Crowd:
    """What became of it."""

    sessions: int
    right: int
    """Sessions whose weights are those of the same training on the CPU here, bit by bit."""
    own_bytes: list[int]
    """What each session's process had to itself after the training (USS)."""
    resident_bytes: list[int]
    """And its resident memory, which counts what it shares with the others."""

    def __str__(self) -> str:
        def mib(sizes: list[int]) -> str:
            return f"{sum(sizes) / len(sizes) / 2**20:.1f} MiB on average, {max(sizes) / 2**20:.1f} MiB at most"

        return (
            f"{self.right} of {self.sessions} sessions right; a session's process had {mib(self.own_bytes)} to itself, "
            f"and {mib(self.resident_bytes)} resident"
        )


def crowd(*, sessions: int, clients: int) -> Crowd:
    """Has so many sessions train at once, from so many processes."""
    with server("--max-sessions", str(sessions + 1)) as place, ExitStack() as stack:
        address = f"grpc://{place}"
        watcher = stack.enter_context(sky.connect(address, name="watcher"))
        shares = [sessions // clients + (number < sessions % clients) for number in range(clients)]
        command = [sys.executable, "-m", "tests.faults.crowd", "--at", address]
        started = []
        for number, share in enumerate(shares):
            words = [*command, "--sessions", str(share), "--first", str(sum(shares[:number]))]
            client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(client)
            stack.callback(client.kill)
            started.append(client)
        right = sum(json.loads(client.stdout.readline() or "0") for client in started if client.stdout is not None)
        pids = [session.pid for session in watcher.sessions() if session.name != watcher.name]
        memory = [psutil.Process(pid).memory_full_info() for pid in pids]
        for client in started:
            client.communicate(timeout=_SECONDS)
        return Crowd(sessions, right, [one.uss for one in memory], [one.rss for one in memory])


def _train(device: torch.device | str, seed: int) -> Iterator[torch.nn.Module]:
    """A training, a step at a time. What is random comes from the CPU, so that it is the same everywhere."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(_STEPS):
        inputs = torch.randn(16, 32, generator=generator).to(device)
        labels = torch.randint(8, (16,), generator=generator).to(device)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        yield model


def _weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return [value.cpu() for value in model.state_dict().values()]


def _join(address: str, sessions: int, first: int) -> None:
    """Trains in so many sessions, a step of each in turn; tells how many are right, and waits for the end of input."""
    computes = [sky.connect(address, name=f"crowd-{first + number}") for number in range(sessions)]
    trainings = [_train(compute.device("cpu"), first + number) for number, compute in enumerate(computes)]
    for models in zip(*trainings, strict=True):
        trained = models
    right = 0
    for number, model in enumerate(trained):
        *_, here = _train("cpu", first + number)
        right += all(map(torch.equal, _weights(model), _weights(here)))
    sys.stdout.write(f"{right}\n")
    sys.stdout.flush()
    sys.stdin.read()
    for compute in computes:
        compute.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--clients", type=int, default=4, help="processes that they come from")
    parser.add_argument("--at", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.at:
        _join(options.at, options.sessions, options.first)
        return
    found = crowd(sessions=options.sessions, clients=options.clients)
    sys.stdout.write(f"{found}\n")
    sys.exit(found.right != found.sessions)


if __name__ == "__main__":
    main()
