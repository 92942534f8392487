"""A session's memory limit and its ends, as a program with sky tensors meets them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
import torch

from jupyter_skytorch.compute import connect
from jupyter_skytorch.device.errors import ConnectError, SessionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Server

MIB = 1 << 20


@pytest.fixture
def bounded(runtime: Path, serve: Callable[..., Server]) -> Server:
    return serve("--session-memory", "96MiB", "--pending-records", "500")


@pytest.fixture
def sky(bounded: Server) -> Iterator[torch.device]:
    with connect(bounded.address) as compute:
        yield compute.device("cpu")


def test_what_goes_over_the_limit_raises_torchs_error_and_the_rest_stays(sky: torch.device) -> None:
    kept = torch.ones(8 * MIB, device=sky)
    kept.sum().item()
    with pytest.raises(torch.OutOfMemoryError, match=r"memory limit of this session is 96\.00 MiB.*--session-memory"):
        (torch.zeros(24 * MIB, device=sky) + 1).sum().item()
    assert kept.sum().item() == 8 * MIB
    del kept
    assert (torch.zeros(8 * MIB, device=sky) + 1).sum().item() == 8 * MIB


def test_what_an_op_allocates_inside_counts(sky: torch.device) -> None:
    ones = torch.ones(10 * MIB, device=sky)
    ones.sum().item()
    # Two tensors fit; the copies and indices that a sort makes for itself don't.
    with pytest.raises(torch.OutOfMemoryError, match="memory limit of this session"):
        torch.nonzero(ones)
    assert ones.sum().item() == 10 * MIB


def test_a_training_goes_on_after_a_batch_that_was_too_large(sky: torch.device) -> None:
    model = torch.nn.Linear(1024, 1024).to(sky)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(rows: int) -> float:
        optimizer.zero_grad()
        loss = model(torch.ones(rows, 1024, device=sky)).pow(2).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    first = step(16)
    before = {name: value.cpu() for name, value in model.state_dict().items()}
    with pytest.raises(torch.OutOfMemoryError, match="memory limit of this session"):
        model(torch.ones(16 * 1024, 1024, device=sky)).pow(2).mean().item()
    for name, value in model.state_dict().items():
        assert torch.equal(value.cpu(), before[name])
    assert step(16) < first


def test_a_server_that_takes_in_little_is_not_overrun(sky: torch.device) -> None:
    total = torch.zeros(4, device=sky)
    for _ in range(5000):
        total = total + 1
    assert total.tolist() == [5000.0] * 4


def test_what_is_asked_for_is_granted_within_the_bounds(runtime: Path, serve: Callable[..., Server]) -> None:
    server = serve("--max-age", "500", "--session-memory", "1GiB")
    with connect(server.address, idle_timeout=90, max_age=400, memory="100 MiB") as compute:
        session = compute.status().session
        assert (session.lease_seconds, session.max_age_seconds, session.memory_bytes) == (90, 400, 100 * MIB)
        assert compute.expiry.cause == "no heartbeat"
        assert not compute.expiry.soon


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"idle_timeout": 0}, "idle_timeout is a number of seconds above 0"),
        ({"max_age": float("nan")}, "max_age is a number of seconds"),
        ({"memory": "much"}, "memory: 'much' is not a size"),
        ({"memory": 0}, "memory is a number of bytes above 0"),
    ],
)
def test_terms_that_make_no_sense_are_refused_here(terms: dict[str, object], says: str) -> None:
    with pytest.raises(ConnectError, match=says):
        connect("grpc://127.0.0.1:1", **terms)


def test_an_end_is_known_ahead_and_named_afterwards(
    runtime: Path, serve: Callable[..., Server], until: Callable[..., None]
) -> None:
    compute = connect(serve().address, max_age=2)
    ones = torch.ones(3, device=compute.device("cpu"))
    until(lambda: compute.expiry.soon)
    assert compute.expiry.cause == "maximum age"
    assert ones.sum().item() == 3
    until(lambda: compute.state == "lost")
    with pytest.raises(SessionLost, match="it reached its maximum age of 2 s"):
        ones.sum().item()


def test_a_session_that_crashes_tells_its_owner_how_and_leaves_the_others(
    bounded: Server, until: Callable[..., None]
) -> None:
    with connect(bounded.address) as compute, connect(bounded.address, name="other") as other:
        doomed, kept = torch.ones(3, device=compute.device("cpu")), torch.ones(3, device=other.device("cpu"))
        assert (doomed.sum().item(), kept.sum().item()) == (3, 3)
        os.kill(compute.status().session.pid, signal.SIGSEGV)
        until(lambda: compute.state == "lost")
        with pytest.raises(SessionLost, match="was ended by SIGSEGV"):
            doomed.sum().item()
        assert kept.sum().item() == 3
