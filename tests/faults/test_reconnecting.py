"""What a user of a connection that breaks sees."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import torch

import jupyter_skytorch as sky
from bench.server import server
from jupyter_skytorch.compute.waiting import show_with

from .proxy import proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_skytorch import Compute

    from .proxy import Proxy


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    with server("--no-direct") as place:
        yield place


@pytest.fixture(scope="module", params=["tunnel", "relay"])
def between(request: pytest.FixtureRequest, place: str) -> Iterator[Proxy]:
    with proxy(place, tunnels=request.param == "tunnel") as between:
        yield between


@pytest.fixture
def compute(between: Proxy) -> Iterator[Compute]:
    with sky.connect(between.address, name="cut-off") as compute:
        yield compute


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What waits were told of."""
    texts: list[str] = []

    @contextmanager
    def show(text: str) -> Iterator[Callable[[str], None]]:
        texts.append(text)
        yield texts.append

    show_with(show)
    yield texts
    show_with(None)


def test_a_program_goes_on_where_it_was(compute: Compute, between: Proxy, told: list[str]) -> None:
    x = torch.zeros((), device=compute.device("cpu"))
    for step in range(1, 31):
        x += 1
        if step % 10 == 5:
            between.cut("reset")
        assert x.item() == step
    assert told.count("the connection to cut-off broke: reconnecting") == 3
    assert compute.state == "connected"


def test_a_download_goes_on_where_it_was(compute: Compute, between: Proxy) -> None:
    data = torch.arange(24_000_000, dtype=torch.int32)
    there = data.to(compute.device("cpu"))
    assert there.sum().item() == data.sum().item()
    before = between.counts().down
    cutter = threading.Thread(target=_cut_when, args=(between, before + (16 << 20)))
    cutter.start()
    assert torch.equal(there.cpu(), data)
    cutter.join()


def _cut_when(between: Proxy, down: int) -> None:
    while between.counts().down < down:
        pass
    between.cut("reset")


def test_an_upload_goes_on_where_it_was(compute: Compute, between: Proxy) -> None:
    data = torch.arange(24_000_000, dtype=torch.int32)
    up = between.counts().up

    def cut() -> None:
        while between.counts().up < up + (16 << 20):
            pass
        between.cut("reset")

    cutter = threading.Thread(target=cut)
    cutter.start()
    there = data.to(compute.device("cpu"))
    cutter.join()
    assert torch.equal(there.cpu(), data)


def test_who_cancels_while_the_server_is_away_is_told_and_loses_nothing(compute: Compute, between: Proxy) -> None:
    x = torch.zeros((), device=compute.device("cpu"))
    x += 1
    between.stall(4.0)
    x += 1
    assert not compute.session().drain(0.1)
    assert not compute.session().cancel()
    assert x.item() == 2


def test_a_session_that_is_closed_while_it_reconnects_is_closed(compute: Compute, between: Proxy) -> None:
    x = torch.zeros((), device=compute.device("cpu"))
    assert x.item() == 0
    between.stall(3.0)
    between.cut("near")
    compute.close()
    with pytest.raises(sky.SessionClosed):
        x.item()
