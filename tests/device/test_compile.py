"""torch.compile(backend="sky"): a step is a record a graph, and gives what eager PyTorch gives."""

from __future__ import annotations

import copy
import gc
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_skytorch import Compute


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """What one test made TorchDynamo remember is nothing to the next one."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def issued(compute: Compute, work: Callable[[], Any]) -> int:
    """How many ops `work` issues."""
    before = compute.session().counters().ops
    work()
    return compute.session().counters().ops - before


def same(compute: Compute, function: Callable[..., Any], *inputs: torch.Tensor, **options: Any) -> None:
    """`function`, compiled, gives on sky what it gives as it stands on the CPU, twice, and as few records as it may."""
    torch.manual_seed(0)
    device = compute.device()
    compiled = torch.compile(function, backend="sky", **{"fullgraph": True} | options)
    for _ in range(2):
        here = [x.clone() for x in inputs]
        there = [x.to(device) for x in here]
        expected, result = function(*here), compiled(*there)
        torch.testing.assert_close(_on_cpu(result), expected)
        torch.testing.assert_close([x.cpu() for x in there], here)


def _on_cpu(value: Any) -> Any:
    return torch.utils._pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.cpu(), value)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(12, 16), nn.GELU(), nn.Linear(16, 5)), (8, 12)),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
        ),
        (8, 1, 8, 8),
    ),
    "transformer": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True), nn.Flatten(), nn.Linear(96, 5)
        ),
        (8, 6, 16),
    ),
    "lstm": (lambda: _Last(nn.LSTM(6, 5, batch_first=True)), (8, 4, 6)),
}


class _Last(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.inner(x)[0][:, -1]
        return out


@pytest.mark.parametrize("name", MODELS)
def test_training_compiled_is_training(name: str, sky: torch.device) -> None:
    torch.manual_seed(0)
    make, shape = MODELS[name]
    here = make()
    there = copy.deepcopy(here).to(sky)
    inputs, targets = torch.randn(shape), torch.randint(0, 5, (8,))
    losses = []
    for module, call, device in (
        (here, here, torch.device("cpu")),
        (there, torch.compile(there, backend="sky"), sky),
    ):
        stepper = torch.optim.AdamW(module.parameters(), lr=1e-2, eps=1e-3)
        x, y = inputs.to(device), targets.to(device)
        for _ in range(3):
            stepper.zero_grad()
            loss = F.cross_entropy(call(x), y)
            loss.backward()
            stepper.step()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for one, other in zip(here.state_dict().values(), there.state_dict().values(), strict=True):
        torch.testing.assert_close(other.cpu(), one)


def test_a_step_is_one_record_a_graph(compute: Compute) -> None:
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(6))).to(compute.device())
    compiled = torch.compile(model, backend="sky", fullgraph=True)
    x = torch.randn(4, 8, device=compute.device())
    gradient = torch.ones(4, 8, device=compute.device())
    compiled(x).backward(gradient)
    model.zero_grad()
    with torch.no_grad():
        compiled(x)
        assert issued(compute, lambda: compiled(x)) == 1
    assert issued(compute, lambda: compiled(x).backward(gradient)) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.jit")
def test_the_optimizer_may_be_compiled_too(sky: torch.device) -> None:
    torch.manual_seed(0)
    here = nn.Linear(4, 3)
    there = copy.deepcopy(here).to(sky)
    steppers = [torch.optim.Adam(module.parameters(), lr=0.1) for module in (here, there)]
    steps = [steppers[0].step, torch.compile(steppers[1].step, backend="sky")]
    x = torch.randn(5, 4)
    for _ in range(3):
        for module, stepper, step, device in zip((here, there), steppers, steps, ("cpu", sky), strict=True):
            stepper.zero_grad()
            module(x.to(device)).square().sum().backward()
            step()
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(other.cpu(), one)


def test_dropout_draws_what_it_draws_uncompiled(sky: torch.device) -> None:
    x = torch.ones(64, 8, device=sky, requires_grad=True)

    def work(x: torch.Tensor) -> torch.Tensor:
        return F.dropout(F.dropout(x, 0.5) + torch.rand_like(x), 0.3)

    results = []
    for function in (work, torch.compile(work, backend="sky", fullgraph=True)):
        torch.manual_seed(5)
        first, second = function(x), function(x)
        (gradient,) = torch.autograd.grad(second.sum(), x)
        results.append([first.detach().cpu(), second.detach().cpu(), gradient.cpu(), torch.rand(3, device=sky).cpu()])
        assert not torch.equal(results[-1][0], results[-1][1])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dynamic", [True, None])
def test_sizes_may_change(compute: Compute, dynamic: bool | None) -> None:
    torch.manual_seed(0)
    here = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Flatten(0))
    there = copy.deepcopy(here).to(compute.device())

    def with_mean(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: module(x).view(-1, x.shape[0]).mean() * x.shape[0] + x.shape[0] / 3

    compiled = torch.compile(with_mean(there), backend="sky", dynamic=dynamic)
    for size in (3, 4, 5, 9, 4):
        x = torch.randn(size, 6)
        expected, result = with_mean(here)(x), compiled(x.to(compute.device()))
        torch.testing.assert_close(result.cpu(), expected)
        here.zero_grad()
        there.zero_grad()
        expected.backward()
        result.backward()
        torch.testing.assert_close(there[0].weight.grad.cpu(), here[0].weight.grad)


def test_one_definition_serves_all_sizes(compute: Compute) -> None:
    compiled = torch.compile(lambda x: (x @ x.T).relu() + 1, backend="sky", fullgraph=True, dynamic=True)
    x = torch.randn(5, 7, device=compute.device())
    compiled(x)
    compiles = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for size in (2, 3, 8):
        wide = torch.randn(size, size + 1, device=compute.device())
        assert issued(compute, lambda wide=wide: compiled(wide)) == 1
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiles


def test_a_marked_dimension_is_dynamic_from_the_start(compute: Compute) -> None:
    compiled = torch.compile(lambda x: x.sum(0) * x.shape[0], backend="sky", fullgraph=True)
    for rows in (4, 6, 11):
        x = torch.randn(rows, 3)
        there = x.to(compute.device())
        torch._dynamo.mark_dynamic(there, 0)
        torch.testing.assert_close(compiled(there).cpu(), x.sum(0) * rows)


def test_a_graph_breaks_where_a_value_is_needed(compute: Compute) -> None:
    def work(x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        return y.relu() if y.sum().item() > 0 else y - 1

    compiled = torch.compile(work, backend="sky")
    for x in (torch.ones(3), -torch.ones(3)):
        torch.testing.assert_close(compiled(x.to(compute.device())).cpu(), work(x))


def test_shapes_that_depend_on_data_are_asked_for(compute: Compute) -> None:
    def work(x: torch.Tensor) -> torch.Tensor:
        return torch.nonzero(x * 2 > 1).float() + 1

    compiled = torch.compile(work, backend="sky")
    x = torch.tensor([0.0, 3.0, 0.2, 5.0])
    torch.testing.assert_close(compiled(x.to(compute.device())).cpu(), work(x))


def _in_place(x: torch.Tensor) -> torch.Tensor:
    y = x + 1
    x.mul_(2)
    x[0] = 7
    return y * x


def _views(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    y = x * 2
    return y, y.view(-1), y[1:], x.t(), x, y.t().contiguous(), x[0]


def _nothing(x: torch.Tensor) -> tuple[Any, ...]:
    return x + 1, None, 3, x.shape[0]


def _lists(x: torch.Tensor) -> list[torch.Tensor]:
    first, second = x.chunk(2)
    return [*torch.unbind(first * second), *torch.split(x, [1, 3])]


def _factories(x: torch.Tensor) -> torch.Tensor:
    ramp = torch.arange(4, device=x.device, dtype=x.dtype)
    return x + ramp + torch.full((4,), 2.5, device=x.device) + x.new_zeros(4, 4) + torch.eye(4, device=x.device)


def _indexing(x: torch.Tensor) -> torch.Tensor:
    index = torch.tensor([2, 0], device=x.device)
    return x[index] + x[:, index].T + torch.where(x > 0, x, -x)[:2] + x.gather(0, index[None, :].expand(2, 2)).sum()


def _dtypes(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return x.to(torch.int32), x.double() * 2, (x > 0), x.to(torch.bfloat16) + 1, torch.complex(x, x).abs()


def _scalars(x: torch.Tensor) -> torch.Tensor:
    return x * 2.5 + torch.tensor(3.0) - 1 + x.pow(2) * True


def _statistics(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (*torch.var_mean(x, 0), *x.max(1), *torch.topk(x, 2), x.std(), x.softmax(1), torch.cumsum(x, 0))


@pytest.mark.parametrize(
    "function",
    [_in_place, _views, _nothing, _lists, _factories, _indexing, _dtypes, _scalars, _statistics],
    ids=lambda function: function.__name__,
)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_what_programs_do(function: Callable[..., Any], dynamic: bool, compute: Compute) -> None:
    same(compute, function, torch.randn(4, 4), dynamic=dynamic)


def test_results_share_memory_as_uncompiled(sky: torch.device) -> None:
    compiled = torch.compile(lambda x: (x.view(-1), (x * 2).view(2, 2)), backend="sky", fullgraph=True)
    x = torch.zeros(4, device=sky)
    view, fresh = compiled(x)
    x.fill_(3)
    assert view.tolist() == [3, 3, 3, 3]
    assert fresh.tolist() == [[0, 0], [0, 0]]
    assert view.data_ptr() == x.data_ptr()


def test_inputs_may_share_memory(sky: torch.device) -> None:
    def work(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x.add_(1)
        return y * 2

    base, there = torch.zeros(4), torch.zeros(4, device=sky)
    expected = work(base[:3], base[1:])
    result = torch.compile(work, backend="sky")(there[:3], there[1:])
    assert result.tolist() == expected.tolist()
    assert there.tolist() == base.tolist()


def test_views_of_any_layout_go_in(compute: Compute) -> None:
    compiled = torch.compile(lambda x, y: (x @ y).relu_() + y[0], backend="sky", fullgraph=True)
    base = torch.randn(4, 6)
    there = base.to(compute.device())
    for x, y in (
        (lambda t: t[1:3, :4], lambda t: t[:, ::2]),
        (lambda t: t.t()[:, 2:], lambda t: t[1:3, 1:]),
        (lambda t: t[0, 1].expand(2, 4), lambda t: t.flip(1)),
    ):
        torch.testing.assert_close(compiled(x(there), y(there)).cpu(), (x(base) @ y(base)).relu() + y(base)[0])


def test_a_saved_tensor_that_is_changed_before_backward_is_noticed(sky: torch.device) -> None:
    weight = torch.ones(3, 3, device=sky, requires_grad=True)
    x = torch.ones(3, 3, device=sky, requires_grad=True)
    result = torch.compile(lambda x: (x @ weight).sum(), backend="sky", fullgraph=True)(x)
    with torch.no_grad():
        weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.backward()


def test_inference_modes_and_autocast(compute: Compute) -> None:
    device = compute.device()
    layer = nn.Linear(4, 4).to(device)
    compiled = torch.compile(layer, backend="sky", fullgraph=True)
    x = torch.randn(3, 4, device=device)
    expected = layer(x).cpu()
    with torch.no_grad():
        assert not compiled(x).requires_grad
    with torch.inference_mode():
        result = compiled(x)
        assert result.is_inference()
        torch.testing.assert_close(result.cpu(), expected, check_dtype=False)
    with torch.autocast("sky", dtype=torch.bfloat16):
        half = compiled(x)
    assert half.dtype is torch.bfloat16
    torch.testing.assert_close(half.float().cpu(), expected, atol=0.05, rtol=0.05)
    assert compiled(x).dtype is torch.float32


def test_an_error_in_a_graph_names_its_op_and_spares_the_rest(compute: Compute) -> None:
    device = compute.device()

    def work(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return F.embedding(index + 1, table) * 2

    compiled = torch.compile(work, backend="sky", fullgraph=True)
    table = torch.randn(3, 2, device=device)
    good = torch.tensor([0, 1], device=device)
    bad = compiled(table, torch.tensor([5, 0], device=device))
    with pytest.raises((IndexError, RuntimeError), match="aten::embedding"):
        bad.tolist()
    with pytest.raises((IndexError, RuntimeError), match="aten::embedding"):
        (bad + 1).tolist()
    assert compiled(table, good).cpu().equal(work(table, good).cpu())


def test_graphs_are_freed_with_the_function(compute: Compute) -> None:
    x = torch.ones(3, device=compute.device())

    def forget() -> None:
        torch._dynamo.reset()
        gc.collect()

    for _ in range(3):
        forget()
        compiled = torch.compile(lambda x: x * 3 + 1, backend="sky", fullgraph=True)
        assert compiled(x).tolist() == [4, 4, 4]
        del compiled
        before = compute.session()._sink.counters()["issued"]
        forget()
        assert compute.session()._sink.counters()["issued"] == before + 1


def test_what_cannot_be_sent_runs_op_by_op(compute: Compute, caplog: pytest.LogCaptureFixture) -> None:
    def work(x: torch.Tensor) -> torch.Tensor:
        return x.cpu().mul(2).to(x.device) + 1

    compiled = torch.compile(work, backend="sky")
    x = torch.ones(3)
    assert compiled(x.to(compute.device())).tolist() == [3, 3, 3]
    assert "op by op" in caplog.text


def test_the_server_s_compiler_gives_the_same(compute: Compute) -> None:
    same(compute, _statistics, torch.randn(4, 4), options={"server": "inductor"})
    same(compute, _in_place, torch.randn(4, 4), options={"server": "inductor"})
    with pytest.raises(Exception, match=r'"loop" or "inductor"'):
        same(compute, _in_place, torch.randn(4, 4), options={"server": "quick"})


def test_local_tensors_are_refused_kindly(sky: torch.device) -> None:
    compiled = torch.compile(lambda x: x + 1, backend="sky")
    assert compiled(torch.ones(2)).tolist() == [2, 2]
    with pytest.raises(Exception, match=r"device"):
        torch.compile(lambda x, y: x + y, backend="sky")(torch.ones(2), torch.ones(2, device=sky))


def test_unknown_options_are_named() -> None:
    compiled = torch.compile(lambda x: x + 1, backend="sky", options={"sever": "loop"})
    with pytest.raises(Exception, match="sever"):
        compiled(torch.ones(2))
