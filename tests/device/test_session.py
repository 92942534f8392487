"""Sessions are apart from each other, end cleanly, and never leave anybody waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

import jupyter_skytorch


def rotation(size: int) -> torch.Tensor:
    """Its powers neither grow nor vanish: products of vanishing numbers take a hundred times as long."""
    return torch.linalg.qr(torch.randn(size, size))[0]


def test_two_sessions_share_nothing(sky: torch.device) -> None:
    with jupyter_skytorch.connect("local", name="other") as other:
        there = other.device("cpu")
        a, b = torch.ones(2, device=sky), torch.ones(2, device=there)
        with pytest.raises(RuntimeError, match="same device"):
            a + b
        torch.manual_seed(5)
        first = torch.rand(3, device=sky)
        torch.rand(100, device=there)
        torch.manual_seed(5)
        assert torch.equal(torch.rand(3, device=sky).cpu(), first.cpu())
        assert torch.equal(b.to(sky).cpu(), a.cpu())
    with pytest.raises(jupyter_skytorch.SessionClosed, match="other was closed"):
        b + 1
    assert a.sum().item() == 2


def test_a_worker_that_dies_is_told_while_somebody_waits_and_takes_nobody_along(sky: torch.device) -> None:
    with jupyter_skytorch.connect("local", name="victim") as victim:
        x = torch.randn(1500, 1500, device=victim.device("cpu"))
        (pid,) = (s.pid for s in victim.sessions() if s.session_id == victim.session().id)
        killer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
        killer.start()

        def work() -> None:
            y = x
            while True:
                y = y @ x
                y = y / y.norm()
                y.sum().item()

        with pytest.raises(jupyter_skytorch.SessionLost, match="victim"):
            work()
        killer.join()
        assert victim.session().state == "lost"
    assert torch.ones(2, device=sky).sum().item() == 2


def test_what_was_issued_can_be_cancelled(compute: jupyter_skytorch.Compute, sky: torch.device) -> None:
    x = rotation(1200).to(sky)
    kept = torch.ones(3, device=sky)
    torch.sky.synchronize()
    y = x
    for _ in range(60):
        y = y @ x
    assert not compute.session().drain(0.01)
    compute.session().cancel()
    assert compute.session().drain(30)
    assert kept.sum().item() == 3
    with pytest.raises(jupyter_skytorch.SkyError, match="cancelled by an interrupt"):
        y.cpu()
    compute.session().raise_pending()
    assert (kept + 1).sum().item() == 6


def test_the_run_ahead_is_bounded_by_the_work_that_it_means(
    compute: jupyter_skytorch.Compute, sky: torch.device
) -> None:
    x = rotation(600).to(sky)
    torch.sky.synchronize()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        x = x @ x
    now = compute.session()._sink.counters()
    compute.session().cancel()
    assert compute.session().drain(30)
    # Nobody waits for anything in this loop: unbounded, it would issue some 100,000 records a second.
    assert now["issued"] - now["executed"] < 10_000


def test_a_process_that_ends_without_closing_exits_cleanly() -> None:
    code = """
import torch, jupyter_skytorch
compute = jupyter_skytorch.connect()
w = torch.ones(3, device=compute.device(), requires_grad=True)
(w * 2).sum().backward()
print(w.grad.sum().item())
raise SystemExit(3)
"""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout.strip()) == (3, "6.0"), done.stderr


def test_cancelling_when_nothing_is_left_to_do_does_nothing(
    compute: jupyter_skytorch.Compute, sky: torch.device
) -> None:
    x = torch.ones(3, device=sky)
    torch.sky.synchronize()
    compute.session().cancel()
    assert (x + 1).tolist() == [2.0] * 3
