"""Views share memory on the server as they do on the CPU, and cost nothing on the way."""

from __future__ import annotations

import torch


def test_writes_through_views_reach_the_base(sky: torch.device) -> None:
    cpu = torch.arange(6.0).reshape(2, 3)
    base = cpu.to(sky)
    for tensor in (base, cpu):
        tensor[:, 1].add_(10)
        tensor.t()[0].mul_(2)
        tensor.view(-1)[4:].zero_()
    assert torch.equal(base.cpu(), cpu)
    view = base[:, 1]
    assert view._base is base


def test_views_send_nothing(sky: torch.device) -> None:
    base = torch.zeros(4, 4, device=sky) + 1
    torch.sky.synchronize()
    core = torch.zeros(1, device=sky)  # noqa: F841  (its storage is announced only when it is used)
    from jupyter_skytorch import current

    before = current().session().counters()
    base.t().reshape(16)[2:5].unsqueeze(0).expand(3, 3)
    base.transpose(0, 1).view(16) if base.t().is_contiguous() else base.permute(1, 0)
    after = current().session().counters()
    assert after.ops - before.ops == 1  # reshape of a transposed tensor is a copy; all else is description


def test_storages_have_addresses_of_their_own(sky: torch.device) -> None:
    a, b = torch.zeros(1000, device=sky), torch.zeros(1000, device=sky)
    assert a.data_ptr() != b.data_ptr()
    assert a[10:].data_ptr() == a.data_ptr() + 40
    assert a.untyped_storage().nbytes() == 4000


def test_a_storage_can_be_shared_and_resized(sky: torch.device) -> None:
    a = torch.arange(4.0, device=sky)
    b = torch.empty(0, device=sky).set_(a.untyped_storage(), 1, (2,), (1,))
    b.add_(10)
    assert a.tolist() == [0, 11, 12, 3]
    a.resize_(6)
    a[4:].fill_(9)
    assert a.tolist() == [0, 11, 12, 3, 9, 9]
    a.untyped_storage().resize_(8)
    assert a.untyped_storage().nbytes() == 8


def test_memory_formats_are_kept(sky: torch.device) -> None:
    image = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    there = image.to(sky)
    assert there.stride() == image.stride()
    assert torch.equal((there + 1).cpu(), image + 1)
    assert (there + 1).stride() == (image + 1).stride()


def test_overlapping_writes_are_refused_as_on_the_cpu(sky: torch.device) -> None:
    import pytest

    a = torch.zeros(1, device=sky).expand(3)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory"):
        a.add_(1)
