"""``%%sky --as-cuda``: code that says "cuda" runs on sky, in that cell and thread only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Kernel


def test_every_way_to_say_cuda_is_sky(connected: Kernel) -> None:
    connected.ok("made_before = torch.device('cuda')")
    code = """%%sky --as-cuda
assert torch.cuda.is_available()
a = torch.ones(3, device='cpu')
moved = [
    a.cuda(), a.cuda(0), a.cuda(non_blocking=True), a.to('cuda'), a.to('cuda:0'), a.to(0), a.to(device='cuda'),
    a.to(torch.device('cuda', 0)), a.to(made_before), a.to('cuda', torch.float64),
    torch.nn.Linear(2, 2, device='cpu').cuda().weight, torch.nn.Linear(2, 2, device='cpu').to('cuda').weight,
    torch.nn.Linear(2, 2, device='cuda').weight, torch.zeros(2, device='cuda:0'), torch.tensor([1], device=0),
    torch.zeros_like(a, device='cuda'), a.new_zeros(2, device='cuda'), torch.zeros(2),
]
print({tensor.device.type for tensor in moved}, a.device, a.pin_memory().device)
print(moved[0].is_cuda, a.is_cuda, torch.device('cpu'), torch.device('cuda:0') == moved[0].device)
device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
print(device.type)
"""
    assert connected.ok(code).printed.splitlines() == ["{'sky'} cpu cpu", "True False cpu True", "sky"]
    # What the cell made is as good outside of it.
    assert connected.ok("torch.ones(2, device=device).sum().item()").value == "2.0"


def test_the_functions_of_torch_cuda_answer_for_sky(connected: Kernel) -> None:
    code = """%%sky --as-cuda
print(torch.cuda.device_count(), torch.cuda.current_device())
names = {torch.cuda.get_device_name(0), torch.cuda.get_device_properties('cuda').name}
print(names == {compute.session().devices[0].name})
torch.cuda.set_device('cuda:0'); torch.cuda.synchronize(); torch.cuda.empty_cache()
kept = torch.zeros(1000, device='cuda')
print(torch.cuda.memory_allocated() == torch.cuda.memory_allocated('cuda:0') == torch.sky.memory_allocated() >= 4000)
print(torch.cuda.max_memory_allocated(device=0) >= 4000, torch.cuda.mem_get_info()[1] > 0)
print('Allocated' in torch.cuda.memory_summary())
torch.cuda.manual_seed_all(5); one = torch.rand(3, device='cuda')
torch.cuda.manual_seed(5); other = torch.rand(3, device='cuda')
drawn = torch.rand(3, device='cuda', generator=torch.Generator('cuda').manual_seed(5))
print(torch.equal(one, other), torch.equal(one, drawn), isinstance(torch.default_generator, torch.Generator))
states = torch.cuda.random.get_rng_state(), torch.cuda.get_rng_state_all(); one = torch.rand(3, device='cuda')
torch.cuda.random.set_rng_state_all(states[1]); other = torch.rand(3, device='cuda')
print(torch.equal(states[0], states[1][0]), torch.equal(one, other))
with torch.autocast('cuda', dtype=torch.bfloat16): print(torch.is_autocast_enabled('sky'))
scaler = torch.amp.GradScaler('cuda')
print(scaler.is_enabled(), scaler.scale(torch.ones(1, device='cuda')).device.type)
"""
    assert connected.ok(code).printed.splitlines() == [
"1 0", "True", "True", "True True", "True", "True True True", "True True", "True", "True sky",
    ]  # fmt: skip


def test_a_training_loop_as_tutorials_write_it(connected: Kernel) -> None:
    code = """%%sky --as-cuda
import io
from torch.utils.data import DataLoader, TensorDataset
device = "cuda" if torch.cuda.is_available() else "cpu"
data = TensorDataset(torch.randn(16, 4, device="cpu"), torch.randn(16, 1, device="cpu"))
model = torch.nn.Linear(4, 1).to(device)
optimizer = torch.optim.AdamW(model.parameters())
scaler = torch.amp.GradScaler(device)
for x, y in DataLoader(data, batch_size=8, pin_memory=True, num_workers=1):
    x, y = x.cuda(non_blocking=True), y.to(device, non_blocking=True)
    loss = torch.nn.functional.mse_loss(model(x), y)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
file = io.BytesIO()
torch.save(model.cpu().state_dict(), file)
file.seek(0)
print(loss.device.type, torch.load(file, map_location="cuda")["weight"].device.type)
"""
    assert connected.ok(code).printed == "sky sky\n"


@pytest.mark.parametrize("end", ["", "1 / 0", "raise KeyboardInterrupt"])
def test_afterwards_everything_is_torchs_own_again(connected: Kernel, end: str) -> None:
    state = """(
    torch.Generator, torch.load, torch.autocast.__init__, torch.amp.GradScaler.__init__,
    [value for name, value in sorted(vars(torch.cuda).items()) if callable(value)],
)"""
    connected.ok(f"before = {state}")
    connected.run(f"%%sky --as-cuda\nx = torch.ones(1, device='cuda')\n{end}")
    assert connected.ok(f"before == {state}").value == "True"
    assert connected.ok("torch.device('cuda').type, torch.cuda.is_available()").value == "('cuda', False)"


def test_other_threads_and_forked_children_have_torch_as_it_is(connected: Kernel) -> None:
    code = """%%sky --as-cuda
import os, threading
def look(): return torch.cuda.is_available(), torch.device('cuda').type, type(torch.Generator()).__name__
seen = []
thread = threading.Thread(target=lambda: seen.append(look()))
thread.start(); thread.join()
child = os.fork()
if child == 0:
    os._exit(0 if look() == (False, 'cuda', 'Generator') else 1)
print(seen, look()[:2], os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert connected.ok(code).printed == "[(False, 'cuda', 'Generator')] (True, 'sky') 0\n"


def test_a_device_that_is_not_there_is_named(connected: Kernel) -> None:
    assert "has no device cpu:1; it has cpu:0" in connected.run("%%sky --as-cuda\ntorch.ones(1, device='cuda:1')").error


def test_a_cell_that_finds_no_cuda_gets_one_line_of_advice(connected: Kernel) -> None:
    def advised(code: str) -> list[str]:
        return [shown["text/plain"] for shown in connected.ok(code).displays if "--as-cuda" in shown["text/plain"]]

    code = "device = 'cuda' if torch.cuda.is_available() else 'cpu'\ntorch.cuda.is_available()"
    (advice,) = advised(f"%%sky\n{code}")
    assert "\n" not in advice
    assert advised(f"def choose():\n    {code.splitlines()[0]}") == []
    assert len(advised("%%sky\nchoose()")) == 1
    assert advised(f"%%sky --as-cuda\n{code}") == []
    assert advised(code) == []
    # A library that asks for itself is not the cell's doing.
    assert advised("%%sky\ntorch.cuda.amp.common.amp_definitely_not_available()") == []
