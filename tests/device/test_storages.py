"""Small programs on shared memory: sky ends with the values, shapes, strides and warnings that the CPU ends with."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
import torch

from tests.conformance.comparison import compare, sharing

if TYPE_CHECKING:
    from collections.abc import Callable

    Program = Callable[[torch.device], list[torch.Tensor]]

PROGRAMS: list[Program] = []


def program(function: Program) -> Program:
    PROGRAMS.append(function)
    return function


def counted(device: torch.device, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.arange(torch.Size(shape).numel(), device=device).to(dtype).reshape(shape)


@program
def in_place_through_a_chain_of_views(device: torch.device) -> list[torch.Tensor]:
    base = counted(device, 4, 6)
    view = base.t()[1:4]
    view[:, ::2].mul_(-1)
    base.diagonal().fill_(7)
    base.unfold(1, 2, 2)[0, 1].zero_()
    view.narrow(0, 1, 2).copy_(torch.full((2, 4), 9.0, device=device))
    return [base, view]


@program
def as_strided_over_a_partial_view(device: torch.device) -> list[torch.Tensor]:
    base = counted(device, 20)
    part = base[5:15]
    windows = part.as_strided((3, 4), (2, 1), 6)
    windows[0].add_(100)
    return [
        base,
        part,
        windows,
        windows.clone(),
        torch.as_strided_scatter(base, torch.zeros(2, 2, device=device), (2, 2), (3, 1), 4),
    ]


@program
def storages_set_from_others(device: torch.device) -> list[torch.Tensor]:
    source = counted(device, 12)
    tensor = torch.empty(0, device=device)
    tensor.set_(source.untyped_storage(), 2, (2, 3), (4, 1))
    tensor.add_(0.5)
    other = torch.empty(0, device=device).set_(tensor)
    nothing = counted(device, 3)
    nothing.set_()
    return [source, tensor, other, nothing]


@program
def resizing_keeps_what_was_there(device: torch.device) -> list[torch.Tensor]:
    tensor = counted(device, 6)
    tensor.resize_(2, 2)
    tensor.add_(1)
    grown = counted(device, 3)
    grown.resize_(5)[3:].zero_()
    image = torch.ones(1, 2, 2, 2, device=device)
    image.resize_(1, 2, 3, 3, memory_format=torch.channels_last)
    like = torch.zeros(2, 3, device=device).resize_as_(tensor)
    return [tensor, tensor.as_strided((6,), (1,)), grown, torch.empty_like(image).fill_(1), like]


@program
def outputs_of_every_fit(device: torch.device) -> list[torch.Tensor]:
    a = counted(device, 2, 3)
    empty = torch.add(a, 1, out=torch.empty(0, device=device))
    wrong = torch.mul(a, 2, out=torch.ones(5, device=device))
    strided = torch.zeros(3, 2, device=device).t()
    torch.sub(a, 3, out=strided)
    view = torch.zeros(4, 3, device=device)
    torch.exp(a * 0, out=view[1:3])
    values, indices = torch.empty(0, device=device), torch.empty(0, dtype=torch.int64, device=device)
    torch.sort(a, descending=True, out=(values, indices))
    found = torch.nonzero(a > 2, out=torch.empty(0, dtype=torch.int64, device=device))
    picked = torch.masked_select(a, a > 2, out=torch.empty(0, device=device))
    joined = torch.cat([a, a], out=torch.empty(1, device=device))
    total = torch.sum(a, 0, out=torch.empty(3, dtype=torch.float64, device=device))
    return [empty, wrong, strided, view, values, indices, found, picked, joined, total]


@program
def outputs_that_are_inputs(device: torch.device) -> list[torch.Tensor]:
    a, b = counted(device, 3, 3), counted(device, 3, 3) + 1
    torch.add(a, b, out=a)
    torch.mm(a, b, out=torch.empty_like(a))
    torch.cumsum(b, 0, out=b)
    return [a, b]


@program
def data_shares_memory_and_not_history(device: torch.device) -> list[torch.Tensor]:
    parameter = torch.nn.Parameter(counted(device, 3))
    parameter.data.add_(1)
    parameter.data = counted(device, 2, 2)
    (parameter * 2).sum().backward()
    assert parameter.grad is not None
    return [parameter.detach(), parameter.grad]


@program
def storages_by_themselves(device: torch.device) -> list[torch.Tensor]:
    tensor = counted(device, 4)
    storage = tensor.untyped_storage()
    assert (storage.nbytes(), len(storage), storage.device) == (16, 16, tensor.device)
    copy = torch.empty(0, device=device).set_(storage.clone())
    tensor.zero_()
    storage.resize_(32)
    return [tensor, copy]


@program
def expanded_tensors(device: torch.device) -> list[torch.Tensor]:
    row = counted(device, 1, 3)
    wide = row.expand(4, 3)
    row.add_(1)
    return [wide, wide.contiguous(), wide.sum(0), wide + wide.t().sum(), torch.broadcast_to(row, (2, 2, 3)).clone()]


@program
def conjugate_and_negative_views(device: torch.device) -> list[torch.Tensor]:
    z = torch.complex(counted(device, 2, 3), counted(device, 2, 3) + 1)
    conjugate = z.conj()
    imaginary = conjugate.imag
    results = [
        conjugate @ z.t(),
        conjugate.clone(),
        conjugate * 2,
        imaginary + 1,
        imaginary.clone(),
        z.mH @ z,
        torch.vdot(z[0].conj(), z[1]),
    ]
    conjugate.mul_(1j)
    imaginary.add_(1)
    z[0].conj().copy_(torch.full((3,), 2 + 3j, device=device))
    return [
        *results,
        z,
        conjugate,
        imaginary,
        conjugate.resolve_conj(),
        torch.view_as_real(z),
        conjugate.to(torch.complex128),
    ]


@program
def memory_formats(device: torch.device) -> list[torch.Tensor]:
    image = counted(device, 2, 3, 4, 4).to(memory_format=torch.channels_last)
    weight = counted(device, 5, 3, 3, 3) / 100
    volume = counted(device, 1, 2, 2, 2, 2).contiguous(memory_format=torch.channels_last_3d)
    results = [
        image,
        image + 1,
        image.clone(),
        image.contiguous(),
        torch.relu(image),
        torch.empty_like(image).zero_(),
        volume * 2,
    ]
    return [
        *results,
        torch.nn.functional.conv2d(image, weight),
        torch.nn.functional.max_pool2d(image, 2),
        image.permute(0, 2, 3, 1),
    ]


@program
def nothing_at_all(device: torch.device) -> list[torch.Tensor]:
    none, rows = torch.empty(0, device=device), torch.empty(0, 3, device=device)
    joined = torch.cat([none, torch.ones(2, device=device)])
    products = [
        rows @ torch.ones(3, 2, device=device),
        torch.ones(2, 0, device=device) @ torch.ones(0, 2, device=device),
    ]
    return [
        none + 1,
        rows.sum(),
        rows.sum(0),
        rows.t(),
        joined,
        rows[:, 1],
        none.sort()[0],
        none.to(torch.int64),
        *products,
    ]


@program
def single_values(device: torch.device) -> list[torch.Tensor]:
    one = torch.tensor(3.0, device=device)
    one.add_(1)
    integer = torch.tensor(2, device=device)
    results = [
        one + integer,
        one * torch.ones(2, device=device),
        one.reshape(1, 1),
        one.expand(3),
        integer / 2,
        one > integer,
    ]
    return [
        *results,
        torch.ones(2, dtype=torch.int32, device=device) * one,
        torch.ones(2, dtype=torch.float16, device=device) * one,
    ]


@program
def shapes_that_depend_on_data(device: torch.device) -> list[torch.Tensor]:
    a = counted(device, 3, 4) % 5
    unique, inverse, counts = torch.unique(a, return_inverse=True, return_counts=True)
    consecutive = torch.unique_consecutive(a.reshape(-1))
    counted_bins = torch.bincount(a.reshape(-1).to(torch.int64), minlength=3)
    repeated = torch.repeat_interleave(a[0], torch.tensor([0, 1, 2, 3], device=device))
    a[a > 3] = -1
    return [
        *(unique, inverse, counts, consecutive, counted_bins, repeated),
        *(a, a[a > 1], a.nonzero(), torch.argwhere(a), *torch.where(a > 1), torch.masked_select(a, a < 2)),
    ]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_ends_as_on_the_cpu(program: Program, sky: torch.device) -> None:
    heard = []
    results = []
    for device in (torch.device("cpu"), sky):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results.append(program(device))
        heard.append(sum("was resized" in str(warning.message) for warning in caught))
    cpu, remote = results
    compare(remote, cpu, program.__name__)
    assert sharing(remote) == sharing(cpu)
    assert heard[1] == heard[0]


@pytest.mark.parametrize(
    "question",
    [
        torch.nonzero,
        torch.unique,
        lambda a: torch.masked_select(a, a > 0),
        lambda a: a[a > 0],
        lambda a: torch.bincount(a.reshape(-1).to(torch.int64)),
        lambda a: torch.repeat_interleave(a.reshape(-1).to(torch.int64)),
    ],
    ids=["nonzero", "unique", "masked_select", "boolean indexing", "bincount", "repeat_interleave"],
)
def test_a_shape_that_depends_on_data_costs_one_round_trip(
    question: Callable[[torch.Tensor], torch.Tensor], sky: torch.device
) -> None:
    from jupyter_skytorch import current

    a = counted(sky, 3, 4) % 3
    question(a)
    compute = current()
    assert compute is not None
    before = compute.session().counters().sync_points
    question(a)
    assert compute.session().counters().sync_points - before == 1
