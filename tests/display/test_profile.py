"""A profile as people see it: the sentences of advice, the tables, the page, and the Chrome trace."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from jupyter_skytorch.compute.advice import advise
from jupyter_skytorch.compute.profile import LineCost, OpCost, Profile, SourceLine, Span
from jupyter_skytorch.compute.trace import chrome_trace
from jupyter_skytorch.display.profile import profile_bundle, profile_page

ITEM = LineCost(
    cell=4,
    line=9,
    source=SourceLine("losses.append(loss.item())  # <b>", in_loop=True),
    ops=500,
    bytes_up=3000,
    bytes_down=2048,
    sync_points=500,
    wait_seconds=6.1,
    visits=500,
    wall_seconds=6.2,
    remote_seconds=0.01,
)
STEP = LineCost(cell=4, line=8, source=SourceLine("optimizer.step()"), ops=7000, wall_seconds=2.5, remote_seconds=3.0)
CALLED = LineCost(cell=2, line=3, source=SourceLine("y = model(x)"), ops=100, wall_seconds=0.5, remote_seconds=0.5)
END = LineCost(cell=4, line=0, wait_seconds=0.8, wall_seconds=0.8, sync_points=1)
LINES = (CALLED, STEP, ITEM, END)
PROFILE = Profile(
    where="local cpu",
    cell=4,
    wall_seconds=10.0,
    remote_seconds=3.6,
    lines=LINES,
    ops=(OpCost("mm.out", 100, 3.0, 3.0), OpCost("read", 500, 0.6, 0.6)),
    advice=advise(LINES, 10.0),
    began=100.0,
    spans={
        "lines": (Span("line", 100.5, 0.25, 4, 8), Span("line", 101.0, 0.5, 4, 9)),
        "waits": (Span("wait", 101.1, 0.3, 4, 9),),
        "server": (Span("mm.out", 100.6, 0.001, 4, 8),),
        "device": (),
    },
    dropped=12,
    clock_uncertainty=1.5e-4,
)


def test_advice_counts_says_the_share_and_what_to_do() -> None:
    (advice,) = PROFILE.advice
    assert advice.finding == "line 9: losses.append(loss.item())  # <b> every step: 500 round trips, 61 % of this cell"
    assert (advice.count, round(advice.share, 2)) == (500, 0.61)
    assert "after the loop" in advice.instead


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (replace(ITEM, source=SourceLine("if loss < 1:", in_loop=True, decides=True)), "torch.where"),
        (replace(ITEM, source=SourceLine("print(loss.item())", in_loop=True, prints=True)), "Print every"),
        (replace(ITEM, asks=500, asked="aten::nonzero"), "shape of what nonzero returns"),
        (replace(ITEM, visits=1, source=SourceLine("train()")), "train() in what it calls: 500 round trips"),
        (
            LineCost(4, 2, SourceLine('x.to("sky")'), uploads=900, upload_bytes=900 * 400, wall_seconds=2.0),
            "900 uploads of 400 bytes each, 20 % of this cell",
        ),
    ],
)
def test_each_kind_of_line_has_advice_of_its_own(line: LineCost, words: str) -> None:
    (advice,) = advise([line], 10.0)
    assert words in str(advice)


@pytest.mark.parametrize(
    "line",
    [
        replace(ITEM, wait_seconds=0.1),
        replace(ITEM, sync_points=3),
        END,
        LineCost(4, 2, uploads=900, upload_bytes=900 << 20, wall_seconds=9.0),
    ],
)
def test_what_costs_little_or_has_to_be_gets_none(line: LineCost) -> None:
    assert advise([line], 10.0) == ()


def test_text_and_html_say_the_same() -> None:
    bundle = profile_bundle(PROFILE)
    text, html = bundle["text/plain"], bundle["text/html"]
    assert text.startswith(
        "profile of cell 4 on local cpu: wall 10 s = issue 3.1 s + wait 6.9 s; the server worked 3.6 s of it\n- line 9:"
    )
    assert "12 more are in the sums alone" in text
    tables = ET.fromstring(f"<div>{html[html.index('<table') : html.rindex('</table>')]}</table></div>")  # noqa: S314
    rows = [[cell.text or "" for cell in row] for row in tables.iter("tr")]
    assert rows[0] == ["line", "source", "times", "issue", "wait", "remote", "ops", "↑", "↓", "sync points"]
    assert [row[0] for row in rows[1:5]] == ["8", "9", "3 in cell 2", "-"]
    assert rows[2][2:] == ["500", "100 ms", "6.1 s", "10 ms", "500", "2.93 KiB", "2 KiB", "500"]
    assert rows[6] == ["mm.out", "100", "3 s", "30 ms", "83 %"]
    for row in rows:
        assert any(all(cell in line for cell in row) for line in text.splitlines()), row


def test_the_tables_can_be_read_without_seeing_them() -> None:
    html = profile_bundle(PROFILE)["text/html"]
    assert html.count("<caption") == html.count("<table") == 2
    assert html.count('<th scope="row"') == 6
    assert "# &lt;b&gt;" in html
    assert "# <b>" not in html
    page = profile_page(PROFILE)
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "color-scheme: light dark" in page


def test_the_trace_is_one_that_chrome_reads() -> None:
    trace = json.loads(json.dumps(chrome_trace(PROFILE)))
    assert trace["otherData"] == {
        "cell": 4,
        "compute": "local cpu",
        "spans_dropped": 12,
        "clock_uncertainty_seconds": 1.5e-4,
    }
    named = {(event["pid"], event["tid"]) for event in trace["traceEvents"] if event["name"] == "thread_name"}
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert {(event["pid"], event["tid"]) for event in spans} == named
    assert all(isinstance(event[key], int | float) for event in spans for key in ("ts", "dur", "pid", "tid"))
    assert [event["name"] for event in spans] == [
        "line 8: optimizer.step()",
        "line 9: losses.append(loss.item())  # <b>",
        "wait",
        "mm.out",
    ]
    assert (spans[0]["ts"], spans[0]["dur"]) == (5e5, 2.5e5)
    assert spans[3]["args"] == {"cell": 4, "line": 8, "source": "optimizer.step()"}
