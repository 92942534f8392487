"""``%%sky --profile`` and ``%sky profile``, in a real kernel."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Kernel

TRAIN = """%%sky --profile
weight = torch.randn(8, 8)
for step in range(30):
    weight = torch.tanh(weight @ weight)
    if weight.sum() > 100:
        print("large")
"""


def rows(text: str) -> dict[str, list[str]]:
    """By line of the cell: the cells of its row, from the text."""
    body = text.split("by line", 1)[1].split("by op", 1)[0]
    table = [re.split(r" {2,}", line.strip()) for line in body.splitlines() if line.strip()]
    return {row[0]: row for row in table}


def test_nothing_to_show_before_a_cell_was_profiled(kernel: Kernel) -> None:
    assert "%%sky --profile" in kernel.usage_error("%sky profile")


def test_a_profiled_cell_shows_its_lines_ops_and_advice(connected: Kernel) -> None:
    result = connected.ok(TRAIN)
    text = result.displays[-1]["text/plain"]
    assert text.startswith(f"profile of cell {result.number} on local cpu: wall ")
    lines = rows(text)
    # Each line as often as Python came to it; between two rounds over a range() there is nothing to be timed.
    assert [lines[number][2] for number in "2345"] == ["1", "1", "30", "30"]
    assert lines["4"][:2] == ["4", "weight = torch.tanh(weight @ weight)"]
    assert lines["4"][-2] == "60"
    assert lines["5"][-1] == "30"
    assert "line 5: if weight.sum() > 100: every step: 30 round trips" in text
    assert re.search(r"\n +tanh\S* +30 ", text)
    assert "<caption" in result.displays[-1]["text/html"]


def test_the_last_profile_is_shown_again_and_saved(connected: Kernel, tmp_path: Path) -> None:
    shown = connected.ok(TRAIN).displays[-1]["text/plain"]
    assert connected.ok("%sky profile").value == shown
    assert connected.ok("profile = %sky profile\nprofile.ops[0].count >= 30").value == "True"
    trace, page = tmp_path / "trace.json", tmp_path / "profile.html"
    said = connected.ok(f"%sky profile --trace {trace} --html {page}").displays[-1]["text/plain"]
    assert said == f"wrote {trace} and {page}"
    assert "<table" in page.read_text()
    data = json.loads(trace.read_text())
    spans = [event for event in data["traceEvents"] if event["ph"] == "X"]
    assert {event["cat"] for event in spans} == {"lines", "waits", "server"}
    assert 0 < data["otherData"]["clock_uncertainty_seconds"] < 1
    # Both ends on one time line: what line 4 has the server do is done after the cell began, and before it ended.
    length = max(event["ts"] + event["dur"] for event in spans if event["cat"] == "lines")
    slack = data["otherData"]["clock_uncertainty_seconds"] * 1e6
    assert all(
        -slack <= event["ts"] <= length + slack
        for event in spans
        if event["cat"] == "server" and event["args"]["line"] == 4
    )
    assert "no-such-folder" in connected.usage_error(f"%sky profile --trace {tmp_path}/no-such-folder/t.json")


def test_ops_belong_to_the_line_of_the_function_that_makes_them(connected: Kernel) -> None:
    other = connected.ok("def halve(x):\n    y = x / 2\n    return y.sum().item()\n")
    result = connected.ok("%%sky --profile\nx = torch.ones(4)\nfor _ in range(12):\n    halve(x)\n")
    lines = rows(result.displays[-1]["text/plain"])
    assert lines[f"2 in cell {other.number}"][1] == "y = x / 2"
    assert lines[f"3 in cell {other.number}"][-1] == "12"
    assert "sync points" in lines["line"]
    assert lines["4"][:3] == ["4", "halve(x)", "12"]


def test_what_a_loop_takes_to_begin_a_round_is_its_heads(connected: Kernel) -> None:
    code = """%%sky --profile
def batches():
    for i in range(20):
        yield torch.ones(4).add_(i).sum().item()
for value in batches():
    if value > 20:
        continue
    total = value
while (total := total - 1) > 0:
    pass
"""
    lines = rows(connected.ok(code).displays[-1]["text/plain"])
    assert lines["5"][1:3] == ["for value in batches():", "21"]
    assert [lines[number][2] for number in "68"] == ["20", "5"]
    assert lines["4"][-1] == "20"
    assert int(lines["9"][2]) > 1


def test_an_error_in_a_function_names_the_line_that_failed(connected: Kernel) -> None:
    other = connected.ok("def pick(x):\n    n = 7\n    return x[torch.tensor([n])]\n")
    result = connected.run("%%sky --profile\ny = pick(torch.arange(3))\n")
    assert result.error.startswith("IndexError")
    assert f"line 3 of cell {other.number}" in result.error or (
        "line 3" in result.error and f"cell {other.number}" in result.error
    )


def test_a_cell_that_fails_shows_what_was_until_then(connected: Kernel) -> None:
    result = connected.run("%%sky --profile\nx = torch.ones(3) + 1\n1 / 0\n")
    assert result.error.startswith("ZeroDivisionError")
    assert rows(result.displays[-1]["text/plain"])["2"][1] == "x = torch.ones(3) + 1"


def test_the_ledger_knows_the_lines_without_a_profile(connected: Kernel) -> None:
    result = connected.ok(TRAIN.replace(" --profile", ""))
    html = result.displays[-1]["text/html"]
    assert "every step: 30 round trips" in html
    assert connected.ok(TRAIN.replace(" --profile", "")).status == "ok"
