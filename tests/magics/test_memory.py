"""``%sky memory``: what fills the device, by the names of the notebook's variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Kernel


def test_what_fills_the_device_is_named(kernel: Kernel) -> None:
    kernel.ok("""%%sky
model = torch.nn.Linear(1024, 1024, bias=False)
optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
model(torch.ones(1024)).sum().backward()
optimizer.step()
base = torch.zeros(3, 1024, 1024)
part = base[1]
weight = model.weight
history = [torch.zeros(512, 512), {"last": torch.zeros(512, 512)}]
""")
    shown = kernel.ok("%sky memory").result
    assert shown is not None
    rows = [line.split("  ") for line in shown["text/plain"].splitlines()]
    table = {row[0]: row[-1].strip() for row in rows[1:]}
    # The model with its gradients; views and second names are with their storage.
    assert table["base, part"] == "12 MiB"
    assert table["model, weight"] == "8 MiB"
    assert table["optimizer"] == "4 MiB"
    assert table["history"] == "2 MiB"
    assert list(table)[-1] == "cpu:0"
    assert "free" in shown["text/plain"]
    assert "<table" in shown["text/html"]
    assert "base, part" in shown["text/html"]


def test_what_has_no_name_is_one_line(connected: Kernel) -> None:
    connected.ok("class Keep: pass\nkeep = Keep()\nkeep.it = torch.zeros(5, 1024, 1024, device=compute.device())")
    text = connected.ok("%sky memory").value
    (line,) = [line for line in text.splitlines() if line.startswith("(no variable)")]
    assert "20 MiB" in line


def test_results_of_earlier_cells_count_by_their_number(connected: Kernel) -> None:
    number = connected.ok("torch.zeros(1024, 1024, device=compute.device())").number
    assert f"Out[{number}]" in connected.ok("%sky memory").value


def test_without_a_connection_it_says_so(kernel: Kernel) -> None:
    assert "nothing is connected: %sky connect" in kernel.usage_error("%sky memory")
