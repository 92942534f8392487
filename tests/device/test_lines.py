"""What each line of a program has cost, as the core counts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from jupyter_skytorch import device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_skytorch import Compute
    from jupyter_skytorch.session import Session


@pytest.fixture
def session(compute: Compute, sky: torch.device) -> Iterator[Session]:
    """The session, with nothing counted yet."""
    torch.sky.synchronize(sky)
    compute.session().take_lines()
    yield compute.session()
    device.core.set_place(0, 0)


def test_lines_are_charged_with_what_they_issue_and_wait_for(session: Session, sky: torch.device) -> None:
    device.core.set_place(2, 7)
    x = torch.arange(6.0).to(sky)
    for _ in range(3):
        device.marks[0] = 3
        y = x + 1
        z = y * 2
        device.marks[0] = 4
        z.sum().item()
    lines = session.take_lines()
    assert set(lines) == {(7, 2), (7, 3), (7, 4)} | (set(lines) & {(0, 0)})
    assert (lines[7, 2].uploads, lines[7, 2].upload_bytes, lines[7, 2].ops) == (1, 24, 0)
    assert (lines[7, 3].ops, lines[7, 3].sync_points) == (6, 0)
    assert (lines[7, 4].ops, lines[7, 4].sync_points, lines[7, 4].asks) == (6, 3, 0)
    assert lines[7, 4].wait_seconds > 0
    assert lines[7, 4].bytes_down >= 3 * 4
    assert all(line.bytes_up > 0 for line in lines.values())
    assert session.take_lines() == {}


def test_a_shape_that_only_the_server_knows_is_told_apart_from_a_value(session: Session, sky: torch.device) -> None:
    x = torch.arange(6.0).to(sky)
    device.marks[0] = 5
    x.nonzero()
    x[x > 2]
    device.marks[0] = 6
    torch.equal(x, x)
    lines = session.take_lines()
    assert (lines[0, 5].asks, lines[0, 5].asked) == (2, "aten::nonzero")
    assert lines[0, 6].asks == 0


def test_lines_beyond_the_first_255_have_two_parts(session: Session, sky: torch.device) -> None:
    x = torch.zeros(2, device=sky)
    session.take_lines()
    device.marks[1], device.marks[0] = 3, 17
    x.add_(1)
    device.marks[0] = "three"  # no harm from whoever finds the list
    x.add_(1)
    lines = session.take_lines()
    assert {place: line.ops for place, line in lines.items()} == {(0, 3 * 256 + 17): 1, (0, 3 * 256): 1}


def test_the_lens_times_this_thread_by_line(session: Session, sky: torch.device) -> None:
    x = torch.zeros(4, device=sky)
    device.core.set_place(0, 3)
    mark = device.core.lens_mark()
    device.core.lens_begin(5, lambda _file: 0)
    for _ in range(4):
        mark[0] = 1
        x = x + 1
        mark[0] = 2
        x.sum().item()
    lines, spans, waits, dropped = device.core.lens_end()
    times = {(cell, line): (spent, visits, waited) for cell, line, spent, visits, waited in lines}
    assert times[3, 1][1:] == (4, 0)
    assert times[3, 2][1] == 4
    assert 0 < times[3, 2][2] <= times[3, 2][0]
    assert len(spans) == 5
    assert len(waits) == 4
    assert dropped == 4
    assert all(began <= ended for *_place, began, ended in spans)
    # Off, it notices nothing, and has nothing to tell.
    mark[0] = 9
    assert device.core.lens_end() == ([], [], [], 0)
    session.take_lines()
