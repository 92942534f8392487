"""Large data: right whatever way it takes, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import jupyter_skytorch
from jupyter_skytorch.compute import endpoint
from tests.faults.traces import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_skytorch import Compute

MIB = 1 << 20


def segments(pid: int | str = "self") -> set[str]:
    """The segments that a process has mapped, by their inodes: other tests' sessions may have theirs."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split()[4] for line in lines if "/memfd:skytorch" in line}


def worker_of(compute: Compute) -> int:
    (pid,) = (s.pid for s in compute.sessions() if s.session_id == compute.session().id)
    return pid


def numbers(bytes_: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (bytes_,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [128 << 10, MIB - 1, 4 * MIB, 4 * MIB + 1, 37 * MIB + 3])
def test_large_data_passes_through_shared_memory(size: int, compute: Compute, sky: torch.device) -> None:
    numbers(MIB).to(sky).cpu()  # the first transfer asks for the memory
    assert len(theirs := segments(worker_of(compute))) == 1
    assert theirs <= segments()
    data = numbers(size)
    before = compute.session().counters()
    there = data.to(sky)
    assert torch.equal(there.cpu(), data)
    now = compute.session().counters()
    assert size <= now.bytes_up - before.bytes_up < size + 10_000
    assert size <= now.bytes_down - before.bytes_down < size + 10_000


def test_views_and_conversions_of_large_tensors(sky: torch.device) -> None:
    data = torch.arange(MIB, dtype=torch.float32).reshape(1024, 1024)
    there = data.to(sky)
    assert torch.equal(there.t().cpu(), data.t())
    assert torch.equal(there[100:, 3].cpu(), data[100:, 3])
    assert torch.equal((there * 1j).conj().cpu(), (data * 1j).conj())
    target = torch.zeros(1024, 1024, dtype=torch.float64)
    target[:, ::2] = there[:, ::2].cpu()
    assert torch.equal(target[:, ::2], data[:, ::2].double())
    there[512:].copy_(torch.ones(512, 1024))
    assert (there[:512].sum().item(), there[512:].sum().item()) == (data[:512].sum().item(), 512 * 1024)


def test_the_source_may_change_at_once(sky: torch.device) -> None:
    source = torch.ones(9 * MIB)
    there = source.to(sky)
    source.zero_()
    assert there.min().item() == 1


def test_threads_and_sessions_at_once(sky: torch.device) -> None:
    with jupyter_skytorch.connect("local", name="second") as second:
        places = [sky, second.device("cpu")]

        def travel(index: int) -> bool:
            data = numbers(9 * MIB + index, index)
            there = data.to(places[index % 2])
            smaller = there[index:] + 1
            return torch.equal(smaller.cpu(), data[index:] + 1) and torch.equal(there.cpu(), data)

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(travel, range(12)))


def test_uploads_behind_a_slow_op_arrive_in_order(sky: torch.device) -> None:
    slow = torch.linalg.qr(torch.randn(900, 900))[0].to(sky)
    target = torch.zeros(5 * MIB, dtype=torch.uint8, device=sky)
    sums = []
    for round_ in range(6):
        for _ in range(3):
            slow = slow @ slow
        target.copy_(torch.full((5 * MIB,), round_, dtype=torch.uint8))
        sums.append(target.sum())
    assert [value.item() for value in sums] == [round_ * 5 * MIB for round_ in range(6)]


def test_an_interrupted_download_leaves_the_session_good(sky: torch.device) -> None:
    slow = torch.linalg.qr(torch.randn(1500, 1500))[0].to(sky)
    data = numbers(20 * MIB)
    there = data.to(sky)
    for _ in range(20):
        slow = slow @ slow
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        there.cpu()
    timer.join()
    assert torch.equal(there.cpu(), data)


def test_nothing_is_left_when_a_session_ends_or_dies() -> None:
    with jupyter_skytorch.connect("local", name="brief") as brief:
        there = numbers(MIB).to(brief.device("cpu"))
        there.cpu()
        (own,) = segments(worker_of(brief))
        assert own in segments()
    assert own not in segments()
    doomed = jupyter_skytorch.connect("local", name="doomed")
    there = numbers(40 * MIB).to(doomed.device("cpu"))
    there.cpu()
    (own,) = segments(worker_of(doomed))
    killer = threading.Timer(0.3, os.kill, (worker_of(doomed), signal.SIGKILL))
    killer.start()

    def work() -> None:
        while True:
            there.copy_(there.cpu())

    with pytest.raises(jupyter_skytorch.SessionLost, match="doomed"):
        work()
    killer.join()
    # Who reads a chunk lets go of it when he finds that nothing more comes.
    assert until(lambda: own not in segments(), 10)
    doomed.close()


def test_a_client_that_dies_in_an_upload_takes_nobody_along(sky: torch.device) -> None:
    program = (
        "import torch, jupyter_skytorch\n"
        "compute = jupyter_skytorch.connect('local', name='dying')\n"
        "device = compute.device('cpu')\n"
        "torch.zeros(1 << 20).to(device).cpu()\n"
        "print(*(s.pid for s in compute.sessions() if s.session_id == compute.session().id), flush=True)\n"
        "data = torch.zeros(64 << 20)\n"
        "while True: data.to(device)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        worker = int(client.stdout.readline())
        shared = segments(client.pid)
        client.kill()
        client.wait(20)
    assert len(shared) == 1
    assert shared == segments(worker)  # the worker's own goes with its session, whose lease runs out
    assert torch.ones(2, device=sky).sum().item() == 2
    assert torch.equal(numbers(5 * MIB).to(sky).cpu(), numbers(5 * MIB))


def test_a_forked_child_has_no_part_in_it(compute: Compute, sky: torch.device) -> None:
    numbers(MIB).to(sky).cpu()
    theirs = segments(worker_of(compute))
    assert theirs & segments()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, bytes([len(theirs & segments())]))
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 1) == b"\0"
    os.close(reader)
    os.close(writer)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Compute]:
    """A session through the server's port, as from another machine."""
    monkeypatch.setattr(endpoint, "_holds", lambda *_: False)
    with jupyter_skytorch.connect("local", name="far") as far:
        yield far


def test_large_data_over_the_network(far: Compute) -> None:
    device = far.device("cpu")
    held = segments()
    data = numbers(37 * MIB + 3)
    assert torch.equal(data.to(device).cpu(), data)
    assert segments() == held


def test_what_was_sent_and_is_unchanged_is_not_sent_again(far: Compute) -> None:
    device = far.device("cpu")
    data = numbers(3 * MIB)

    def sent(tensor: torch.Tensor) -> tuple[torch.Tensor, int]:
        before = far.session().counters().bytes_up
        there = tensor.to(device)
        torch.sky.synchronize()
        return there, far.session().counters().bytes_up - before

    first, cost = sent(data)
    assert cost > 3 * MIB
    second, cost = sent(data.clone())
    assert cost < 1000
    first[5] += 1
    assert torch.equal(second.cpu(), data)
    del first, second
    assert sent(data)[1] > 3 * MIB  # nothing of it is left there

    # One byte that no sample sees.
    third, _ = sent(data)
    data[3 * MIB // 2 + 71] += 1
    fourth, cost = sent(data)
    assert cost > 3 * MIB
    assert torch.equal(fourth.cpu(), data)
    assert (third.cpu() != data).sum().item() == 1
    # A change on the server.
    fourth.neg_()
    fifth, cost = sent(data)
    assert cost > 3 * MIB
    assert torch.equal(fifth.cpu(), data)
