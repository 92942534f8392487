"""Valid streams to begin with: what a client sends for a bit of everything, recorded on its way."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import torch

import jupyter_skytorch as sky
from bench.server import server
from jupyter_skytorch.session import stream
from skytorch_wire import service_pb2
from tests.faults.proxy import proxy
from tests.faults.training import Training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_LARGEST = 1 << 16


@contextmanager
def recorded() -> Iterator[list[bytes]]:
    """What is sent by gRPC meanwhile, frame by frame."""
    frames: list[bytes] = []
    take = stream._Requests.__next__

    def keep(requests: stream._Requests) -> bytes:
        frame = take(requests)
        frames.append(frame)
        return frame

    stream._Requests.__next__ = keep  # type: ignore[method-assign]
    try:
        yield frames
    finally:
        stream._Requests.__next__ = take  # type: ignore[method-assign]


def frames() -> list[bytes]:
    """The frames of a session that does a bit of everything, without the first, which attaches."""
    with ExitStack() as stack:
        between = stack.enter_context(proxy(stack.enter_context(server("--no-direct")), tunnels=False))
        found = stack.enter_context(recorded())
        compute = stack.enter_context(sky.connect(between.address, name="recorded"))
        everything(compute)
    return [frame for frame in found if not service_pb2.StreamRequest.FromString(frame).HasField("attach")]


def everything(compute: sky.Compute) -> None:
    """Training, views, indices, random numbers, errors, settings, memory, graphs, lists, complex numbers."""
    device = compute.device("cpu")
    for step in Training(device).run():
        if step == 3:
            break
    x = torch.randn(6, 8, device=device)
    x[torch.tensor([0, 2]).to(device)] = 1.5
    (x.t()[1:] @ x[:, 1:]).chunk(3)
    torch.cat([x, x * 1j], 1).conj().cpu()
    x.nonzero().tolist()
    state = torch.sky.get_rng_state()
    torch.sky.set_rng_state(state)
    torch.normal(0.0, 1.0, (3,), device=device, generator=torch.Generator(device).manual_seed(3)).tolist()
    torch.topk(x, 2).values.sum().item()
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.sky.memory_stats()
    torch.sky.reset_peak_memory_stats()
    torch.empty(4, device=device).untyped_storage().resize_(64)
    compiled = torch.compile(lambda a, b: (a @ b).relu().sum(0) * 2, backend="sky")
    for size in (4, 5):
        compiled(torch.ones(size, size, device=device), torch.ones(size, size, device=device)).tolist()
    with suppress(IndexError):
        x[torch.tensor([99]).to(device)].tolist()


def write(folder: Path) -> tuple[Path, Path]:
    """Writes frames, and their records, to files in a folder of `folder`, and the session's records to a file there."""
    inputs, session = folder / "corpus", folder / "session"
    inputs.mkdir(parents=True, exist_ok=True)
    sent = frames()
    records = [service_pb2.StreamRequest.FromString(frame).records for frame in sent]
    for number, content in enumerate(sent + records):
        if len(content) < _LARGEST:
            (inputs / f"{number:04}").write_bytes(content)
    session.write_bytes(b"".join(records))
    return inputs, session
