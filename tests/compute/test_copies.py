"""Tensors between Computes: from server to server, and through this machine where that can't be."""

from __future__ import annotations

import _thread
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import torch

from jupyter_skytorch.compute import connect, opening
from jupyter_skytorch.compute.copying import destination
from jupyter_skytorch.device.errors import SessionLost
from jupyter_skytorch.session import take_detours
from skytorch_wire.format import DTYPES
from tests.compute.conftest import moved
from tests.faults.proxy import Proxy, proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_skytorch.compute import Compute
    from skytorch_wire import service_pb2
    from tests.certificates import Certificates

    from .conftest import Server

pytestmark = pytest.mark.timeout(90)

LARGE = 8 << 20
SMALL = 4000


@pytest.fixture(scope="module")
def servers(serve_module: Callable[..., Server]) -> tuple[Server, Server]:
    """Two servers, the first of which may connect to ports of this machine."""
    return serve_module("--copy-to", "127.0.0.1"), serve_module()


@pytest.fixture(scope="module")
def pair(servers: tuple[Server, Server]) -> Iterator[tuple[Compute, Compute]]:
    """A session on each, whose servers find each other by their sockets."""
    with connect(servers[0].address, name="near-one") as one, connect(servers[1].address, name="near-other") as other:
        yield one, other


@pytest.fixture(scope="module")
def one(servers: tuple[Server, Server]) -> Iterator[Compute]:
    """A session that knows of no socket of others."""
    with connect(servers[0].address, name="one") as compute:
        yield compute


@pytest.fixture(scope="module")
def between(servers: tuple[Server, Server]) -> Iterator[Proxy]:
    """A proxy before the second server."""
    with proxy(servers[1].address.removeprefix("grpc://")) as between:
        yield between


@pytest.fixture(scope="module")
def other(between: Proxy) -> Iterator[Compute]:
    """A session on the second server, which others find by the proxy alone."""
    with told(lambda found: found.ClearField("socket")), connect(between.address, name="other") as compute:
        yield compute


@pytest.fixture(autouse=True)
def _no_detours() -> None:
    take_detours()


@contextmanager
def told(change: Callable[[service_pb2.CopyDestination], object]) -> Iterator[None]:
    """Has others be told something else about where sessions are that are begun inside."""

    def changed(endpoints: Any, place: Any) -> service_pb2.CopyDestination:
        found = destination(endpoints, place)
        change(found)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "destination", changed)
        yield


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """A CPU tensor's bytes."""
    return tensor.resolve_conj().resolve_neg().contiguous().flatten().view(torch.uint8)


def use(*computes: Compute) -> None:
    """Nobody waits for anything any more, and ops are executed."""
    for compute in computes:
        assert (torch.ones(3, device=compute.device()) + 1).sum().item() == 6


@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize("name", DTYPES.values())
def test_every_dtype(pair: tuple[Compute, Compute], name: str) -> None:
    one, other = pair
    raw = torch.arange(4096, dtype=torch.int32).view(torch.uint8)
    if name == "bool":
        raw = raw % 2
    there = raw.to(one.device())
    dtype = getattr(torch, name)
    x, sky = raw.view(dtype), there.view(dtype)
    result = sky.to(other.device())
    assert (result.device, result.dtype) == (other.device(), dtype)
    assert torch.equal(bits(result.cpu()), bits(x))
    assert take_detours() == []


LAYOUTS = {
    "a scalar": lambda x: x[3, 4, 5],
    "nothing": lambda x: x[:0],
    "transposed": lambda x: x.transpose(0, 2),
    "a part": lambda x: x[1:3, ::2, 5:],
    "expanded": lambda x: x[:, :1, :1].expand(4, 5, 6),
    "conjugate": lambda x: x.conj(),
    "negative": lambda x: x.conj().imag,
    "real": lambda x: x.real,
    "overlapping": lambda x: x.flatten().unfold(0, 5, 2),
    "many dimensions": lambda x: x[None, :, None, :, None, :, None],
    "channels last": lambda x: x[None].contiguous(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout(pair: tuple[Compute, Compute], layout: Callable[[torch.Tensor], torch.Tensor]) -> None:
    one, other = pair
    x = torch.randn(4, 5, 6, dtype=torch.complex64)
    expected = layout(x).to("cpu", copy=True)
    result = layout(x.to(one.device())).to(other.device())
    assert result.stride() == expected.stride()
    assert torch.equal(result.cpu(), expected)
    assert take_detours() == []


def test_nothing_of_it_passes_through_this_machine(pair: tuple[Compute, Compute]) -> None:
    x = torch.randn(1 << 20, device=pair[0].device())
    pair[0].session().synchronize()
    before = moved(*pair)
    y = x.to(pair[1].device())
    pair[1].session().synchronize()
    assert moved(*pair) - before < SMALL
    assert torch.equal(y.cpu(), x.cpu())


def test_devices_of_one_compute_need_no_copy_between_servers(pair: tuple[Compute, Compute]) -> None:
    x = torch.randn(1000, device=pair[0].device())
    assert x.to(pair[0].device()) is x


def test_copy_(pair: tuple[Compute, Compute]) -> None:
    one, other = (compute.device() for compute in pair)
    target, x = torch.zeros(4, 6), torch.randn(6, dtype=torch.float64)
    there = target.to(other)
    part = there[1:3]
    for tensor, source in ((target[1:3], x), (part, x.to(one))):
        tensor.copy_(source)
    assert torch.equal(there.cpu(), target)
    whole = torch.empty(6, 4, device=other)
    alias = whole.t()
    whole.copy_(target.to(one).t())
    assert torch.equal(alias.cpu(), target)
    with pytest.raises(RuntimeError, match=r"size|shape"):
        part.copy_(torch.zeros(5, 6, device=one))


@pytest.mark.parametrize(
    ("source", "target"), [("float64", "bfloat16"), ("int8", "float32"), ("complex64", "complex128")]
)
def test_dtypes_are_converted(pair: tuple[Compute, Compute], source: str, target: str) -> None:
    x = (torch.randn(1000) * 50).to(getattr(torch, source))
    result = x.to(pair[0].device()).to(pair[1].device(), getattr(torch, target))
    assert torch.equal(result.cpu(), x.to(getattr(torch, target)))


def test_a_copy_sees_what_came_before_it_and_nothing_later(pair: tuple[Compute, Compute]) -> None:
    one, other = (compute.device() for compute in pair)
    x = torch.zeros(1 << 20, device=one)
    copies = []
    for step in range(1, 6):
        x += 1
        copies.append(x.to(other))
        x.mul_(2)
        assert copies[-1].device == other
        copies[-1] += 10
        expected = x.cpu() / 2 + 10
        assert bool((copies[-1] == copies[-1][0]).all()), step
        assert torch.equal(copies[-1].cpu(), expected)


def test_autograd_goes_through(pair: tuple[Compute, Compute]) -> None:
    """A model whose halves are on two Computes."""
    torch.manual_seed(0)
    halves = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.Tanh()), torch.nn.Linear(30, 4)
    x, y = torch.randn(16, 20), torch.randn(16, 4)
    torch.nn.functional.mse_loss(halves[1](halves[0](x)), y).backward()
    expected = [parameter.grad.clone() for half in halves for parameter in half.parameters()]  # type: ignore[union-attr]
    one, other = (compute.device() for compute in pair)
    halves[0].zero_grad(), halves[1].zero_grad()
    first, second = halves[0].to(one), halves[1].to(other)
    torch.nn.functional.mse_loss(second(first(x.to(one)).to(other)), y.to(other)).backward()
    found = [parameter.grad for half in (first, second) for parameter in half.parameters()]
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine.cpu(), theirs)  # type: ignore[union-attr]
    assert take_detours() == []


def test_a_module_moves(pair: tuple[Compute, Compute]) -> None:
    one, other = (compute.device() for compute in pair)
    module = torch.nn.Sequential(torch.nn.Linear(50, 60), torch.nn.BatchNorm1d(60))
    module[0].weight.requires_grad_(requires_grad=False)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    before = moved(*pair)
    module.to(one)
    up = moved(*pair) - before
    module.to(other)
    assert moved(*pair) - before - up < up
    assert not module[0].weight.requires_grad
    assert {parameter.device for parameter in module.parameters()} == {other}
    for name, value in module.state_dict().items():
        assert torch.equal(value.cpu(), state[name])


def test_what_has_failed_is_not_copied(pair: tuple[Compute, Compute]) -> None:
    one, other = (compute.device() for compute in pair)
    wrong = torch.tensor([5], device=one)
    x = torch.randn(3, device=one)[wrong]
    with pytest.raises(IndexError):
        x.to(other)
    use(*pair)
    assert take_detours() == []


def test_threads_copy_both_ways_at_once(pair: tuple[Compute, Compute]) -> None:
    devices = [compute.device() for compute in pair]
    x = torch.randn(100_000)
    failures: list[object] = []

    def work(start: int) -> None:
        try:
            tensor = x.to(devices[start])
            for turn in range(1, 9):
                tensor = tensor.to(devices[(start + turn) % 2]) + 1
            torch.testing.assert_close(tensor.cpu(), x + 8)
        except BaseException as error:  # noqa: BLE001  (whatever it is, the test fails)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(turn % 2,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert take_detours() == []


def test_sessions_of_one_server(servers: tuple[Server, Server], one: Compute) -> None:
    with connect(servers[0].address, name="beside") as beside:
        x = torch.randn(1000, 1000, device=one.device())
        assert torch.equal(x.to(beside.device()).cpu(), x.cpu())
        assert take_detours() == []


def test_servers_by_their_ports(one: Compute, other: Compute) -> None:
    x = torch.randn(LARGE // 4).to(one.device())
    before = moved(one, other)
    y = x.to(other.device())
    assert moved(one, other) - before < SMALL
    assert take_detours() == []
    assert torch.equal(y.cpu(), x.cpu())


def test_a_server_that_may_not(servers: tuple[Server, Server], other: Compute) -> None:
    with told(lambda found: found.ClearField("socket")), connect(servers[0].address, name="shy") as shy:
        x = torch.randn(1000)
        y = x.to(other.device())
        for _ in range(3):
            assert torch.equal(y.to(shy.device()).cpu(), x)
        place = servers[0].address.removeprefix("grpc://")
        why = f"the server may not connect to {place} (--copy-to)"
        assert take_detours() == [f"other → shy through this machine: {why}"]
        assert take_detours() == []
        use(shy, other)


def test_within_tls(
    one: Compute, serve: Callable[..., Server], certificates: Certificates, other_certificates: Certificates
) -> None:
    flags = "--no-direct", "--tls-cert"
    address = serve(*flags, str(certificates.issue("server.pem"))).address.replace("grpc:", "grpcs:")
    x = torch.randn(LARGE // 4).to(one.device())
    with connect(address, name="encrypted", ca=certificates.ca) as encrypted:
        assert torch.equal(x.to(encrypted.device()).cpu(), x.cpu())
        assert take_detours() == []
    misled = other_certificates.ca.read_text()
    with (
        told(lambda found: setattr(found, "ca", misled)),
        connect(address, name="stranger", ca=certificates.ca) as stranger,
    ):
        assert torch.equal(x.to(stranger.device()).cpu(), x.cpu())
        (detour,) = take_detours()
        assert "one → stranger through this machine: 127.0.0.1" in detour
        assert "certificate" in detour
    use(one)


def test_where_servers_do_not_see_each_other(servers: tuple[Server, Server], one: Compute, free_port: int) -> None:
    """And a laptop sees both."""

    def elsewhere(found: service_pb2.CopyDestination) -> None:
        found.ClearField("socket")
        found.port = free_port

    with told(elsewhere), connect(servers[1].address, name="hidden") as hidden:
        x = torch.randn(1000).to(one.device())
        for _ in range(3):
            assert torch.equal(x.to(hidden.device()).cpu(), x.cpu())
        why = f"the server can't reach 127.0.0.1:{free_port}: Connection refused"
        assert take_detours() == [f"one → hidden through this machine: {why}"]
        use(one, hidden)


def test_a_connection_that_breaks_in_the_middle(
    one: Compute, other: Compute, between: Proxy, until: Callable[..., None]
) -> None:
    x = torch.randint(256, (8 * LARGE,), dtype=torch.uint8)
    sky = x.to(one.device())
    device = other.device()
    use(one, other)
    begun = between.counts().up

    def cut() -> None:
        until(lambda: between.counts().up - begun > LARGE)
        between.cut("reset")

    thread = threading.Thread(target=cut)
    thread.start()
    y = sky.to(device)
    thread.join()
    assert torch.equal(y.cpu(), x)
    (detour,) = take_detours()
    assert detour.startswith("one → other through this machine: the connection between the servers broke")
    # The next one tries again.
    assert torch.equal(sky[:LARGE].to(device).cpu(), x[:LARGE])
    assert take_detours() == []
    use(one, other)


def test_an_interrupt(one: Compute, other: Compute, between: Proxy, until: Callable[..., None]) -> None:
    sky = torch.zeros(8 * LARGE, dtype=torch.uint8, device=one.device())
    device = other.device()
    use(one, other)
    begun = between.counts().up

    def interrupt() -> None:
        until(lambda: between.counts().up - begun > LARGE)
        between.stall(60)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        sky.to(device)
    thread.join()
    assert one.session().cancel()
    use(one)
    between.stall(0)
    use(one, other)
    assert torch.equal(sky.to(device).cpu(), sky.cpu())
    assert take_detours() == []


def test_a_receiver_that_dies_in_the_middle(
    one: Compute, serve: Callable[..., Server], until: Callable[..., None]
) -> None:
    server = serve("--no-direct")
    sky = torch.zeros(8 * LARGE, dtype=torch.uint8, device=one.device())
    use(one)
    with (
        proxy(server.address.removeprefix("grpc://")) as between,
        connect(between.address, name="doomed", reconnect_timeout=2) as doomed,
    ):
        device = doomed.device()
        use(doomed)
        begun = between.counts().up

        def kill() -> None:
            until(lambda: between.counts().up - begun > LARGE)
            server.kill()

        thread = threading.Thread(target=kill)
        thread.start()
        with pytest.raises(SessionLost):
            sky.to(device).cpu()
        thread.join()
        use(one)
