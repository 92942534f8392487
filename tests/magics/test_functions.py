"""Functions from a notebook: what they print, and the stop button."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Kernel

SLEEPS = """def sleeps():
    import time
    print("begun")
    time.sleep(600)

compute.run(sleeps)
"""
# One call into C that no interrupt ends: Python looks for signals when it has returned.
STUBBORN = """def stubborn():
    print("begun")
    sum(range(10**12))

compute.run(stubborn)
"""


def test_what_a_function_prints_is_in_the_cell(connected: Kernel) -> None:
    result = connected.ok(
        "import sys\n"
        "def talk(tensor):\n"
        "    for i in range(3): print(i, tensor.sum().item())\n"
        "    print('oh', file=sys.stderr)\n"
        "    return tensor * 2\n"
        "x = torch.ones(2, device=compute.device())\n"
        "compute.run(talk, x)"
    )
    assert result.printed == "0 2.0\n1 2.0\n2 2.0\noh\n"
    assert "tensor([2., 2.], device='sky" in result.value


def test_a_function_is_as_good_in_a_sky_cell(connected: Kernel) -> None:
    result = connected.ok("%%sky\n@compute.remote\ndef there(t): return t + 1\n\nthere(torch.ones(3)).sum().item()")
    assert result.value == "6.0"


def test_an_error_shows_the_line_there_and_the_line_here(connected: Kernel) -> None:
    result = connected.run("def wrong():\n    return {}['key']\n\ncompute.run(wrong)")
    assert result.error == "KeyError: 'key'"
    assert "return {}['key']" in result.traceback
    assert "----> 4 compute.run(wrong)" in result.traceback


def test_classes_of_the_notebook_stay_what_they_are(connected: Kernel) -> None:
    connected.ok("class Net(torch.nn.Linear): pass\n\nnet = compute.run(lambda: Net(2, 2))")
    assert connected.ok("isinstance(net, Net), net.weight.device.type").value == "(True, 'sky')"


def test_an_interrupt_ends_a_function_and_the_next_cell_works(connected: Kernel) -> None:
    connected.ok("kept = torch.ones(3, device=compute.device())")
    for head in ("", "%%sky\n"):
        result = connected.run(head + SLEEPS, during=connected.interrupt_when_printed("begun"))
        assert result.error.startswith("KeyboardInterrupt")
        assert "time.sleep(600)" in result.traceback
        assert connected.ok("(kept + 1).sum().item()").value == "6.0"


def test_a_second_interrupt_gives_up_the_session(connected: Kernel) -> None:
    first = connected.interrupt_when_printed("begun")
    second = connected.interrupt_when_printed("begun", after=1.0)

    def both(text: str) -> None:
        first(text)
        second(text)

    for head in ("", "%%sky\n"):
        result = connected.run(head + STUBBORN, during=both)
        assert result.error.startswith("KeyboardInterrupt")
        assert "is given up, and its tensors are gone" in result.traceback
        connected.ok("compute = %sky connect")
        assert connected.ok("compute.run(lambda: 5)").value == "5"
