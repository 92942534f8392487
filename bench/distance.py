"""What distance costs: training and decoding at round trips of 0, 20 and 100 ms."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

import jupyter_skytorch as sky

from .figure import Figure, Spread, Target, alone, in_turn, paired
from .link import link
from .models import cnn, gpt, mlp
from .ping import ping
from .server import server

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from .link import Link
    from .rig import Rig

BATCH = 64
ROUNDS = 5
STEPS = 5000  # without a read: long enough that the one round trip at the end is little
READ_STEPS = 20
TOKENS = 20
CNN_STEPS = 40
SIZE = 128 << 20
ROUND_TRIPS = (0.02, 0.1)
YARDSTICK = "0 ms"


def measure(rig: Rig) -> list[Figure]:
    """A server behind a link, whose round trip is changed back and forth."""
    with ExitStack() as stack:
        trips = _round_trips(stack.enter_context(ping()))
        far = stack.enter_context(link(stack.enter_context(server("--no-direct"))))
        compute = stack.enter_context(sky.connect(far.address, insecure=True))
        device = compute.device(rig.local.type)
        step = _mlp_step(device)
        figures = [_unread(far, step, device)]
        for name, took in (("MLP step with .item()", _read_steps(step)), ("GPT decode, a token", _tokens(device))):
            for round_trip, trip in trips.items():
                figures += _waited(far, name, took, round_trip, trip)
        figures.append(_idle(rig))
        figures.append(_bytes_up(far, device))
        figures += _filled(far, device)
    return figures


def _round_trips(took: Callable[[float], float]) -> dict[float, float]:
    """The milliseconds that the link's round trips really take beyond what it costs at 0 ms."""
    at_zero = took(0.0)
    return {round_trip: (took(round_trip) - at_zero) * 1e3 for round_trip in ROUND_TRIPS}


def _at(far: Link, round_trip: float, measured: Callable[[], float]) -> float:
    torch.sky.synchronize()
    far.become(round_trip=round_trip)
    return measured()


def _mlp_step(device: torch.device) -> Callable[[], torch.Tensor]:
    model = mlp().to(device)
    images, labels = torch.randn(BATCH, 784).to(device), torch.randint(10, (BATCH,)).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    return lambda: _step(model, optimizer, images, labels)


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    loss = F.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def _unread(far: Link, step: Callable[[], torch.Tensor], device: torch.device) -> Figure:
    def rate() -> float:
        started = time.perf_counter()
        for _ in range(STEPS):
            step()
        torch.sky.synchronize(device)
        return STEPS / (time.perf_counter() - started)

    pairs = in_turn(ROUNDS, lambda: _at(far, 0.1, rate), lambda: _at(far, 0.0, rate))
    return paired("MLP step at 100 ms", "steps/s", pairs, Target(0.95, at_least=True), YARDSTICK)


def _read_steps(step: Callable[[], torch.Tensor]) -> Callable[[], float]:
    def took() -> float:
        durations = []
        for _ in range(READ_STEPS):
            started = time.perf_counter()
            step().item()
            durations.append((time.perf_counter() - started) * 1e3)
        return statistics.median(durations)

    return took


def _tokens(device: torch.device) -> Callable[[], float]:
    model = gpt().to(device)

    def took() -> float:
        durations = []
        started = time.perf_counter()
        for _ in model.decode(TOKENS):
            now = time.perf_counter()
            durations.append((now - started) * 1e3)
            started = now
        return statistics.median(durations)

    return took


def _waited(far: Link, name: str, took: Callable[[], float], round_trip: float, trip: float) -> list[Figure]:
    """Milliseconds at a round trip, and how many of them are neither that nor those at 0 ms, over those at 0 ms."""
    pairs = in_turn(ROUNDS, lambda: _at(far, round_trip, took), lambda: _at(far, 0.0, took))
    name = f"{name} at {round_trip * 1e3:g} ms"
    beyond = [(far - trip, near) for far, near in pairs]
    return [
        paired(name, "ms", pairs, None, YARDSTICK),
        paired(f"... beyond one round trip ({trip:.1f} ms)", "ms", beyond, Target(1.1), YARDSTICK),
    ]


def _idle(rig: Rig) -> Figure:
    """What the machine itself takes for having waited: the same step of local torch, after as long a rest."""
    step = _mlp_step(rig.local)

    def took(rest: float) -> float:
        durations = []
        for _ in range(READ_STEPS):
            time.sleep(rest)
            started = time.perf_counter()
            step().item()
            durations.append((time.perf_counter() - started) * 1e3)
        return statistics.median(durations)

    pairs = in_turn(ROUNDS, lambda: took(max(ROUND_TRIPS)), lambda: took(0.0))
    return paired("MLP step of local torch after 100 ms of rest", "ms", pairs, None, "without a rest")


def _bytes_up(far: Link, device: torch.device) -> Figure:
    """What a training step that uploads its batch sends, beyond the images of the batch, at 100 ms and 100 Mbit/s."""
    model = cnn().to(device)
    optimizer = torch.optim.AdamW(model.parameters())
    counted: list[float] = []
    for _ in range(ROUNDS + 1):
        torch.sky.synchronize()
        far.become(round_trip=0.1, megabits=100)
        before, uploaded = far.counts().up, 0
        for _ in range(CNN_STEPS):
            images, labels = torch.randn(BATCH, 1, 28, 28), torch.randint(10, (BATCH,))
            uploaded += images.nbytes
            _step(model, optimizer, images.to(device), labels.to(device))
        torch.sky.synchronize(device)
        counted.append((far.counts().up - before - uploaded) / CNN_STEPS)
    return alone("CNN step beyond its images, sent at 100 ms, 100 Mbit/s", "bytes", counted[1:], at_most=1000)


def _filled(far: Link, device: torch.device) -> list[Figure]:
    """Bulk data over 100 ms and 1 Gbit/s, which is 125 MB/s; without the one round trip that hears of its arrival."""
    payload = torch.arange(SIZE // 4, dtype=torch.int32)
    torch.sky.synchronize()
    far.become(round_trip=0.1, megabits=1000)
    ups, downs = [], []
    for _ in range(ROUNDS):
        payload.add_(1)  # else it need not be sent again
        started = time.perf_counter()
        resident = payload.to(device)
        torch.sky.synchronize(device)
        sent = time.perf_counter()
        resident.cpu()
        ups.append(SIZE / (sent - started - 0.1) / 1e6)
        downs.append(SIZE / (time.perf_counter() - sent - 0.1) / 1e6)
    name = "at 100 ms, 1 Gbit/s (125 MB/s)"
    return [Figure(f"128 MiB {way} {name}", "MB/s", Spread.of(rates)) for way, rates in (("up", ups), ("down", downs))]
