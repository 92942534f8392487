"""The stop button while the remote end works."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Kernel

RUNS_AHEAD = """%%sky
x = torch.randn(700, 700)
print('begun')
while True:
    x = x @ x / 26
"""
# One op that takes longer than an interrupt waits for what was issued.
LONG_OP = """%%sky
print('begun')
x = torch.randn(6000, 6000)
for _ in range(12):
    x = x @ x / 77
x.sum().item()
"""


def test_an_interrupt_stops_the_cell_and_the_next_one_works(connected: Kernel) -> None:
    connected.ok("%%sky\nkept = torch.ones(3)")
    result = connected.run(RUNS_AHEAD, during=connected.interrupt_when_printed("begun", after=0.3))
    assert result.error.startswith("KeyboardInterrupt")
    assert result.printed == "begun\n"
    assert "interrupted" in result.ledger
    assert connected.ok("%%sky\n(kept + 1).sum().item()").value == "6.0"


def test_what_runs_for_too_long_is_cancelled(connected: Kernel) -> None:
    connected.ok("%%sky\nkept = torch.ones(3)")
    result = connected.run(LONG_OP, during=connected.interrupt_when_printed("begun", after=0.5))
    assert result.error.startswith("KeyboardInterrupt")
    assert "interrupted" in result.ledger
    assert connected.ok("%%sky\n(kept + 1).sum().item()").value == "6.0"


def test_a_second_interrupt_abandons_the_session(connected: Kernel) -> None:
    first = connected.interrupt_when_printed("begun", after=0.5)
    second = connected.interrupt_when_printed("begun", after=1.2)

    def both(text: str) -> None:
        first(text)
        second(text)

    result = connected.run(LONG_OP, during=both)
    assert result.error.startswith("KeyboardInterrupt")
    assert any("abandoned" in shown["text/plain"] for shown in result.displays)
    connected.ok("%sky connect")
    assert connected.ok("%%sky\ntorch.ones(3).sum().item()").value == "3.0"


def test_an_interrupted_connect_leaves_nothing_half_made(kernel: Kernel) -> None:
    kernel.ok("import socket\nlistener = socket.create_server(('127.0.0.1', 0))\nport = listener.getsockname()[1]")
    code = "print('begun', flush=True)\n%sky connect grpc://127.0.0.1:{port}"
    result = kernel.run(code, during=kernel.interrupt_when_printed("begun", after=0.3))
    assert result.error.startswith("KeyboardInterrupt")
    assert kernel.ok("jupyter_skytorch.computes()").value == "{}"
    assert "connected" in kernel.ok("%sky connect").value
