"""Threads share a session: each gets its own results and its own errors, and none holds up the end of the process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

COUNT = 8


def test_ops_of_eight_threads(sky: torch.device) -> None:
    def work(number: int) -> list[float]:
        x = torch.full((16,), float(number), device=sky)
        seen = []
        for step in range(30):
            x = x * 1.5 - step
            if step % 10 == 9:
                seen.append(x.sum().item())
        return [*seen, *x.cpu().tolist(), float(x[x > x.mean()].numel())]

    with ThreadPoolExecutor(COUNT) as pool:
        there = list(pool.map(work, range(COUNT), timeout=60))
    for number, seen in enumerate(there):
        x = torch.full((16,), float(number))
        expected = []
        for step in range(30):
            x = x * 1.5 - step
            if step % 10 == 9:
                expected.append(x.sum().item())
        assert seen == [*expected, *x.tolist(), float(x[x > x.mean()].numel())]


def test_backward_in_threads(sky: torch.device) -> None:
    shared = torch.ones(4, device=sky, requires_grad=True)

    def work(number: int) -> float:
        own = torch.full((4,), float(number), device=sky, requires_grad=True)
        (own * own * shared).sum().backward()
        return own.grad.sum().item()

    with ThreadPoolExecutor(COUNT) as pool:
        assert list(pool.map(work, range(COUNT), timeout=60)) == [8.0 * number for number in range(COUNT)]
    assert shared.grad.tolist() == [sum(number**2 for number in range(COUNT))] * 4


def test_an_error_is_raised_in_the_thread_that_caused_it(sky: torch.device) -> None:
    table = torch.arange(4.0, device=sky)
    issued = threading.Barrier(COUNT)

    def work(number: int) -> str:
        index = torch.tensor([100 + number if number % 2 else 1], device=sky)
        table[index]
        issued.wait(30)
        try:
            torch.sky.synchronize()
            torch.sky.synchronize()
        except IndexError as error:
            return str(error).splitlines()[0]
        return "fine"

    with ThreadPoolExecutor(COUNT) as pool:
        told = list(pool.map(work, range(COUNT), timeout=60))
    for number, words in enumerate(told):
        assert words.startswith(f"index {100 + number} is out of bounds" if number % 2 else "fine")
    torch.sky.synchronize()


def test_the_error_of_a_thread_that_never_asked_comes_at_the_end_of_the_cell(
    compute: object, sky: torch.device
) -> None:
    thread = threading.Thread(target=lambda: torch.arange(4.0, device=sky)[torch.tensor([77], device=sky)])
    thread.start()
    thread.join(30)
    assert torch.ones(2, device=sky).sum().item() == 2
    with pytest.raises(IndexError, match="index 77 is out of bounds"):
        compute.session().raise_pending()


ENDINGS = {
    "threads that wait and issue": """
def work():
    x = torch.ones(1000, device=device)
    while True:
        x = x * 1.0
        x.sum().item()
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
torch.sky.synchronize()
""",
    "an unread error": """
torch.arange(4.0, device=device)[torch.tensor([9], device=device)]
""",
    "tensors in a cycle and a hook": """
x = torch.ones(3, device=device, requires_grad=True)
x.me = [x]
y = x * 2
y.register_hook(lambda gradient: gradient.mul(2))
y.sum().backward()
import atexit
atexit.register(lambda: print(x.grad.cpu().tolist(), x.me))
""",
    "a thread in a long wait": """
def work():
    x = torch.rand(600, 600, device=device)
    for _ in range(400):
        x = (x @ x).clamp(0, 1)
    x.cpu()
threading.Thread(target=work, daemon=True).start()
torch.ones(1, device=device)
""",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_interpreter_ends_whatever_threads_do(ending: str) -> None:
    code = "import threading, torch, jupyter_skytorch\ndevice = jupyter_skytorch.connect().device('cpu')\n"
    done = subprocess.run(
        [sys.executable, "-c", code + ENDINGS[ending] + "\nprint('end')\nraise SystemExit(3)"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert "end" in done.stdout


def test_a_signal_ends_a_wait_and_leaves_the_session_good(compute: object, sky: torch.device) -> None:
    class RungError(Exception):
        pass

    def ring(_signal: int, _frame: object) -> None:
        raise RungError

    def work() -> None:
        y = x
        while True:
            y = y @ x
            y.sum().item()

    before = signal.signal(signal.SIGALRM, ring)
    try:
        x = torch.linalg.qr(torch.randn(600, 600))[0].to(sky)
        torch.sky.synchronize()
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(RungError):
            work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    compute.session().cancel()
    assert compute.session().drain(30)
    assert torch.ones(2, device=sky).sum().item() == 2
