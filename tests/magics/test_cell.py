"""``%%sky``: where tensors are made, what is shown, and which line an error names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Kernel


def test_a_cell_connects_by_itself_and_says_so(kernel: Kernel) -> None:
    result = kernel.ok("%%sky\nx = torch.ones(3)\nx.device.type")
    assert result.value == "'sky'"
    assert "connecting to local" in result.displays[0]["text/plain"]
    assert kernel.ok("jupyter_skytorch.current().name").value == "'local'"


def test_a_cell_ends_with_what_it_cost(connected: Kernel) -> None:
    result = connected.ok("%%sky\nx = torch.arange(10.0)\ny = (x * 2).sum().item()\ny")
    assert result.value == "90.0"
    assert re.fullmatch(
        r"sky local cpu · wall \S+ \S+, remote \S+ \S+ · \d+ ops? · ↑ \S+ \S+ ↓ \S+ \S+ · 1 sync point", result.ledger
    )
    html = result.displays[-1]["text/html"]
    assert re.search(r"<th scope=\"row\"[^>]*>3</th>.*\.item\(\)", html)
    assert "--jp-" in html


def test_a_semicolon_keeps_the_value_back_and_assignments_stay(connected: Kernel) -> None:
    assert connected.ok("%%sky\nkept = 5\nkept;").result is None
    assert connected.ok("kept").value == "5"


def test_out_and_its_number_are_the_cells(connected: Kernel) -> None:
    result = connected.ok("%%sky\n6 * 7")
    assert connected.ok(f"Out[{result.number}]").value == "42"


def test_factories_make_sky_tensors_and_what_exists_stays(connected: Kernel) -> None:
    code = """%%sky
import numpy
from torch.utils.data import DataLoader
cpu = torch.arange(4, device='cpu')
on = lambda tensor: tensor.device.type
print(*map(on, [
    torch.zeros(2), torch.randn(2, 2), torch.tensor([1.0]), torch.as_tensor(numpy.ones(2)), torch.fft.fftfreq(4),
    torch.nn.Linear(2, 2).weight,
]))
print(*map(on, [
    cpu, torch.as_tensor(cpu), torch.asarray(cpu), torch.tensor(cpu.tolist(), device='cpu'), torch.zeros_like(cpu),
    torch.zeros(2, device='cpu'), torch.randperm(4, generator=torch.Generator()),
    torch.zeros(2, out=torch.empty(2, device='cpu')),
    *DataLoader(list(range(4)), batch_size=2, shuffle=True),
]))
"""
    sky, cpu = connected.ok(code).printed.splitlines()
    assert set(sky.split()) == {"sky"}
    assert set(cpu.split()) == {"cpu"}


def test_after_the_cell_factories_are_torchs_own_again(connected: Kernel) -> None:
    connected.ok("before = torch.zeros, torch.tensor, torch.fft.fftfreq")
    connected.run("%%sky\ntorch.zeros(1)\n1/0")
    assert connected.ok("before == (torch.zeros, torch.tensor, torch.fft.fftfreq)").value == "True"
    assert connected.ok("torch.zeros(1).device.type").value == "'cpu'"


def test_a_forked_child_makes_its_tensors_here(connected: Kernel) -> None:
    code = """%%sky
import os
pid = os.fork()
if pid == 0:
    os._exit(0 if torch.zeros(1).device.type == 'cpu' else 1)
os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
    assert connected.ok(code).value == "0"


def test_an_optimizer_counts_its_steps_without_asking_the_server(connected: Kernel) -> None:
    connected.ok(
        "%%sky\nmodel = torch.nn.Linear(3, 1)\noptimizer = torch.optim.AdamW(model.parameters())\n"
        "data = torch.randn(8, 3)"
    )
    code = "%%sky\nfor _ in range(3):\n    model(data).sum().backward()\n    optimizer.step()"
    assert connected.ok(code).ledger.endswith("0 sync points")


def test_a_local_error_shows_the_users_line_with_the_notebooks_number(connected: Kernel) -> None:
    result = connected.run("%%sky\n\nx = torch.zeros(2, 3)\ny = x @ x\nz = 1\n")
    assert result.error.startswith("RuntimeError")
    assert re.search(r"--+> 4 y = x @ x", result.traceback), result.traceback
    assert "jupyter_skytorch/magics" not in result.traceback
    assert "failed" in result.ledger


def test_the_line_is_right_below_other_magics_too(connected: Kernel) -> None:
    result = connected.run("%%time\n%%sky\nfor i in range(3):\n    if i == 1:\n        1 / 0\n")
    assert re.search(r"--+> 5 +1 / 0", result.traceback), result.traceback


def test_a_syntax_error_points_at_its_line(connected: Kernel) -> None:
    result = connected.run("%%sky\nx = 1\ny = = 2\n")
    assert result.error.startswith("SyntaxError")
    assert re.search(r"line 3\n +y = = 2", result.traceback), result.traceback


def test_a_remote_error_is_raised_by_its_own_cell_and_names_op_and_line(connected: Kernel) -> None:
    result = connected.run("%%sky\nx = torch.arange(3)\nif True:\n    y = x[torch.tensor([7])]\nz = x + 1\n")
    assert result.error.startswith("IndexError")
    assert "line 4" in result.error
    assert f"cell {result.number}" in result.error
    assert "index" in result.error
    assert connected.ok("%%sky\nz.sum().item()").value == "6"


def test_a_local_error_carries_the_remote_one_as_a_note(connected: Kernel) -> None:
    result = connected.run("%%sky\ny = torch.arange(3)[torch.tensor([7])]\n1 / 0\n")
    assert result.error.startswith("ZeroDivisionError")
    assert "IndexError" in result.traceback
    assert "line 2" in result.traceback


def test_line_marks_leave_no_trace(connected: Kernel) -> None:
    connected.ok("%%sky\nfrom __future__ import annotations\ndef f(x: Nowhere):\n    return x\ny = f(1)")
    assert connected.ok("'__sky_mark__' in globals()").value == "False"
    assert connected.ok("%%sky\nimport inspect\nprint(inspect.getsource(f))").printed.startswith("def f(x: Nowhere):")


def test_shell_commands_and_magics_work_inside(connected: Kernel) -> None:
    result = connected.ok("%%sky\n!echo from the shell\n%sky list")
    assert result.printed == "from the shell\r\n"
    assert "local" in result.value


def test_a_top_level_await_is_refused_in_one_line(connected: Kernel) -> None:
    assert "await" in connected.usage_error("%%sky\nimport asyncio\nawait asyncio.sleep(0)")


def test_a_long_wait_is_shown_and_goes_away(connected: Kernel) -> None:
    connected.ok("%config SkyMagics.progress_delay = 0.0")
    result = connected.ok("%%sky\nx = torch.randn(1500, 1500)\nfor _ in range(8): x = x @ x / 40\n")
    connected.ok("%config SkyMagics.progress_delay = 1.0")
    assert result.displays[0]["text/plain"].startswith("waiting for local")
    assert result.updates[-1]["text/plain"] == ""
