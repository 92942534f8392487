"""Child processes never touch their parent's session, and are told so instead of waiting for what can't come."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.multiprocessing

import jupyter_skytorch

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_skytorch import Compute

# Forking a process that has threads is what is tested here, and what DataLoader does.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

_SECONDS = 30


def in_child(work: Callable[[], Any]) -> tuple[int, str]:
    """Runs `work` in a forked child: how it exited, and what `work` raised or returned, as text."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            told = repr(work())
        except BaseException as error:  # noqa: BLE001  (the parent judges)
            told = f"{type(error).__name__}: {error}"
        os.write(writer, told.encode()[:4000])
        os.close(writer)
        gc.collect()
        os._exit(0)
    os.close(writer)
    end = time.monotonic() + _SECONDS
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done or time.monotonic() > end:
            break
        time.sleep(0.01)
    if not done:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    with os.fdopen(reader) as pipe:
        return os.waitstatus_to_exitcode(status), pipe.read()


# Made here: a child's own large tensor would wait for PyTorch's threads, which a fork doesn't copy.
LARGE = torch.zeros(100_000)

USES: dict[str, Callable[[torch.Tensor], Any]] = {
    "an op": lambda x: x + 1,
    "an op that needs a shape": lambda x: x[x > 0],
    "a copy to the cpu": lambda x: x.cpu(),
    "a copy from the cpu": lambda x: x.copy_(torch.zeros(3)),
    "a large copy": lambda x: LARGE.to(x.device),
    "a new tensor": lambda x: torch.empty(3, device="sky"),
    "printing": repr,
    "backward": lambda x: (x.requires_grad_() * 2).sum().backward(),
    "synchronize": lambda x: torch.sky.synchronize(x.device),
    "seeding": lambda x: torch.sky.manual_seed(3),
    "random state": lambda x: torch.sky.get_rng_state(),
    "a generator": lambda x: torch.Generator("sky").manual_seed(1),
    "resizing": lambda x: x.resize_(100),
}


@pytest.mark.parametrize("use", USES)
def test_a_forked_child_is_told(use: str, sky: torch.device) -> None:
    x = torch.ones(3, device=sky) + 1
    code, told = in_child(lambda: USES[use](x))
    assert (code, told[:8]) == (0, "SkyError")
    assert told.startswith("SkyError: sky tensors can't be used in a forked child process")
    assert x.tolist() == [2, 2, 2]


def test_a_forked_child_cannot_connect(sky: torch.device) -> None:
    code, told = in_child(jupyter_skytorch.connect)
    assert code == 0
    assert told.startswith("ConnectError: this process was forked off one that had a session")


def test_a_forked_child_may_drop_what_it_got_and_work_on_the_cpu(compute: Compute, sky: torch.device) -> None:
    kept = [torch.ones(3, device=sky) + 1, torch.Generator(sky), compute]

    def work() -> object:
        torch.manual_seed(3)
        torch.sky.manual_seed_all(3)
        kept[2].close()
        kept.clear()
        gc.collect()
        return torch.ones(3).sum().item()

    before = compute.session().counters().ops
    assert in_child(work) == (0, "3.0")
    assert compute.state == "connected"
    assert compute.session().counters().ops == before
    assert kept[0].sum().item() == 6


def test_a_fork_while_threads_issue_ops(sky: torch.device) -> None:
    import threading

    stop = threading.Event()

    def issue() -> None:
        x = torch.ones(3, device=sky)
        while not stop.is_set():
            x = x * 1.0

    threads = [threading.Thread(target=issue) for _ in range(2)]
    for thread in threads:
        thread.start()
    x = torch.ones(3, device=sky)
    try:
        for _ in range(2):
            assert in_child(x.cpu)[1].startswith("SkyError")
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert x.sum().item() == 3


def test_a_child_that_exits_as_processes_do() -> None:
    import subprocess

    code = """
import os, sys, torch, jupyter_skytorch
compute = jupyter_skytorch.connect()
x = torch.ones(3, device=compute.device(), requires_grad=True)
(x * 2).sum().backward()
pid = os.fork()
if pid == 0:
    sys.exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), x.grad.sum().item())
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.strip() == "5 6.0", told.stderr


SENDS: dict[str, Callable[[Any, Any], Any]] = {
    "queue": lambda context, x: context.SimpleQueue().put(x),
    "process": lambda context, x: context.Process(target=print, args=(x,)).start(),
    "storage": lambda context, x: context.SimpleQueue().put(x.untyped_storage()),
}


@pytest.mark.parametrize("way", SENDS)
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_sky_tensors_are_not_sent_to_other_processes(way: str, method: str, sky: torch.device) -> None:
    context = torch.multiprocessing.get_context(method)
    with pytest.raises(RuntimeError, match=f"can't send a {sky} tensor to another process"):
        SENDS[way](context, torch.ones(2, device=sky))
