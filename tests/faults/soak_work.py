"""``python -m tests.faults.soak_work NAME ADDRESS``: one kind of work, until SIGTERM; every result is checked.

What was done so far is printed now and then, one line at a time. Work rests a little in each round, so that all kinds
together leave a machine of two processors some air.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

import jupyter_skytorch as sky
from bench.models import gpt, mlp

from .training import Training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SAY_SECONDS = 10.0
# Of freed garbage: collections are left to chance otherwise, and with them when memory is given back.
_COLLECT_ROUNDS = 200
_VISITS = 50


class WrongError(AssertionError):
    """A result that isn't right."""


def expect(holds: bool, what: str) -> None:
    """Raises WrongError unless it holds."""
    if not holds:
        raise WrongError(what)


def training(address: str) -> Iterator[str]:
    """A CNN, with uploads, downloads and reads; starts again every 500 steps, and has to come to the same loss."""
    return _training(address, "training", steps=500, rest=0.01)


def cut(address: str) -> Iterator[str]:
    """The same behind a connection that is cut."""
    return _training(address, "cut", steps=200, rest=0.02)


def _training(address: str, name: str, *, steps: int, rest: float) -> Iterator[str]:
    with sky.connect(address, name=name) as compute:
        losses: list[float] = []
        for again in count():
            work = Training(compute.device("cpu"))
            for step in work.run():
                time.sleep(rest)
                yield f"{again * steps + step} steps"
                if step == steps:
                    break
            losses = losses or work.losses
            expect(losses == work.losses, "a training came to other losses than the same one before")


def decoding(address: str) -> Iterator[str]:
    """A GPT that writes, one read for each token; always the same text."""
    with sky.connect(address, name="decoding") as compute:
        torch.manual_seed(0)
        model = gpt(layers=2, width=32)
        here = list(model.decode(48))
        model = model.to(compute.device("cpu"))
        for again in count(1):
            for place, token in enumerate(model.decode(48)):
                expect(token == here[place], f"token {place} is {token}, and {here[place]} here")
                time.sleep(0.005)
            yield f"{again * 48} tokens"


def flood(address: str) -> Iterator[str]:
    """Ops as fast as they go, and a read after some hundreds."""
    with sky.connect(address, name="flood") as compute:
        device = compute.device("cpu")
        for again in count(1):
            x = torch.zeros(64, device=device)
            for _ in range(2000):
                x = x + 1
            expect(x.sum().item() == 64 * 2000.0, "a sum is wrong")
            time.sleep(0.1)
            yield f"{again * 2000} ops"


def items(address: str) -> Iterator[str]:
    """Reads one by one."""
    with sky.connect(address, name="items") as compute:
        x = torch.zeros((), device=compute.device("cpu"))
        for again in count(1):
            x = torch.zeros_like(x)
            for i in range(200):
                x = x + 1
                expect(x.item() == i + 1, "an item is wrong")
            time.sleep(0.05)
            yield f"{again * 200} items"


def bulk(address: str) -> Iterator[str]:
    """Tensors of all sizes up and down, by slices, by copies and by files."""
    chosen = random.Random(0)
    with sky.connect(address, name="bulk") as compute:
        device = compute.device("cpu")
        moved = 0
        for again in count(1):
            here = torch.randint(0, 256, (chosen.choice((1, 1000, 100_000, 4_000_000, 16_000_000)),), dtype=torch.uint8)
            there = here.to(device)
            half = len(here) // 2
            there[half:] += 1
            expect(torch.equal(there[:half].cpu(), here[:half]), "the first half isn't what was sent")
            expect(torch.equal(there[half:].cpu(), here[half:] + 1), "the second half isn't what was made of it")
            moved += 2 * len(here)
            time.sleep(0.05)
            yield f"{again} tensors, {moved >> 20} MiB"


def visitor(address: str) -> Iterator[str]:
    """Connects, does a little, leaves; now and then as another program, for a program has 64 devices."""
    visits = int(os.environ.get("VISITS", "0"))
    for again in count(visits + 1):
        if again % _VISITS == 0:
            os.environ["VISITS"] = str(again)
            os.execv(sys.executable, [sys.executable, "-m", "tests.faults.soak_work", *sys.argv[1:]])  # noqa: S606
        compute = sky.connect(address, name="visitor")
        torch.manual_seed(0)
        model = mlp().to(compute.device("cpu"))
        loss = F.cross_entropy(
            model(torch.ones(4, 784).to(compute.device("cpu"))), torch.tensor([1, 2, 3, 4]).to("sky")
        )
        loss.backward()
        expect(loss.item() > 0, "a loss is wrong")
        compute.close()
        try:
            loss.item()
        except sky.SkyError:
            pass
        else:
            raise WrongError("a tensor of a closed session can be read")
        time.sleep(0.5)
        yield f"{again} visits"


def failing(address: str) -> Iterator[str]:
    """Ops that fail on the server, told once each, and tensors that are poisoned and healed."""
    with sky.connect(address, name="failing") as compute:
        device = compute.device("cpu")
        table = torch.arange(10, device=device)
        for again in count(1):
            wrong = table[torch.tensor([100]).to(device)]
            try:
                wrong.item()
            except IndexError:
                pass
            else:
                raise WrongError("a wrong index went unnoticed")
            expect(table[3].item() == 3, "a tensor that nothing happened to is wrong")
            time.sleep(0.05)
            yield f"{again} failures"


@dataclass(frozen=True)
class Kind:
    """A kind of work."""

    work: Callable[[str], Iterator[str]]
    cut: bool = False
    """Whether its connection is one that is cut."""
    comes_and_goes: bool = False


WORK = {
    "training": Kind(training),
    "decoding": Kind(decoding),
    "flood": Kind(flood),
    "items": Kind(items),
    "bulk": Kind(bulk),
    "visitor": Kind(visitor, comes_and_goes=True),
    "failing": Kind(failing),
    "cut": Kind(cut, cut=True),
}


def main() -> None:
    """Works until it is told to end."""
    name, address = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    torch.set_num_threads(1)
    said = time.monotonic()
    for rounds, done in enumerate(WORK[name].work(address)):
        if rounds % _COLLECT_ROUNDS == 0:
            gc.collect()
        if time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            print(done, flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001  (the last line says what was wrong)
        import traceback

        traceback.print_exc()
        print(f"{type(error).__name__}: {error}", flush=True)  # noqa: T201
        os._exit(1)
