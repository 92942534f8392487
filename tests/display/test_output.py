"""What people see: numbers with units, tables, lines of costs, sparklines."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from jupyter_skytorch.compute.profile import LineCost, SourceLine
from jupyter_skytorch.compute.status import Status
from jupyter_skytorch.display.ledger import Ledger
from jupyter_skytorch.display.metrics import Course
from jupyter_skytorch.display.quantities import count, duration, quantity, size
from jupyter_skytorch.display.sparkline import sparkline
from jupyter_skytorch.display.table import Table
from skytorch_wire import metrics_pb2, sessions_pb2

LEDGER = Ledger(
    where="local cpu",
    wall_seconds=1.24,
    remote_seconds=0.98,
    ops=12345,
    bytes_up=1_468_006,
    bytes_down=3072,
    sync_points=2,
    wait_seconds=0.5,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1020 * 1024, "1020 KiB"), (2**30, "1 GiB")],
)
def test_sizes(value: float, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 µs"),
        (2.4e-4, "240 µs"),
        (0.0121, "12.1 ms"),
        (0.9994, "999 ms"),
        (0.9997, "1 s"),
        (1.239, "1.24 s"),
        (125, "2 min 5 s"),
        (11_520, "3 h 12 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_and_quantities() -> None:
    assert [count(1, "op"), count(12_345, "op")] == ["1 op", "12,345 ops"]
    assert [quantity(25.34, "%"), quantity(2, "1"), quantity(2048, "B")] == ["25.3 %", "2", "2 KiB"]
    assert [quantity(999.4, "W"), quantity(999.7, "W")] == ["999 W", "1,000 W"]


def test_the_ledger_is_one_line_and_its_page_names_the_lines_that_waited() -> None:
    line = "sky local cpu · wall 1.24 s, remote 980 ms · 12,345 ops · ↑ 1.4 MiB ↓ 3 KiB · 2 sync points"
    assert str(LEDGER) == line
    at = LineCost(cell=1, line=7, source=SourceLine("print(x.item() < 3)"), ops=1, sync_points=2, wait_seconds=0.5)
    bundle = Ledger(**{**vars(LEDGER), "lines": (at,), "outcome": "interrupted"})._repr_mimebundle_()
    assert "interrupted" in bundle["text/plain"]
    assert table_rows(bundle["text/html"]) == [
        ["line", "source", "wait", "ops", "↑", "↓", "sync points"],
        ["7", "print(x.item() < 3)", "500 ms", "1", "", "", "2"],
    ]
    assert "&lt; 3" in bundle["text/html"]


def test_a_table_lines_its_columns_up_and_escapes_them() -> None:
    table = Table(["<a>", "bb"], ("", "name"), lambda item: ("▸" if item == "bb" else "", item), empty="none")
    assert repr(table) == "   name\n   <a>\n▸  bb"
    assert (len(table), table[1], list(table)) == (2, "bb", ["<a>", "bb"])
    assert "&lt;a&gt;" in table._repr_mimebundle_()["text/html"]
    assert repr(Table([], ("name",), lambda item: (item,), empty="none")) == "none"


@pytest.mark.parametrize("values", [[1.0], [3.0, 3.0], [0.0, 50.0, 100.0, 250.0]])
def test_a_sparkline_stays_in_its_frame_and_has_a_label(values: list[float]) -> None:
    svg = ET.fromstring(sparkline(values, "load & more", top=100.0))  # noqa: S314 (our own)
    assert svg.attrib["aria-label"] == "load & more"
    points = [tuple(map(float, point.split(","))) for point in svg[0].attrib["points"].split()]
    assert all(0 <= x <= 120 and 0 <= y <= 20 for x, y in points)


def test_a_course_shows_this_sessions_numbers_and_the_machines() -> None:
    gauge = metrics_pb2.METRIC_TYPE_GAUGE
    metrics = [
        metrics_pb2.Metric(name="host.load", type=gauge, value=1.5),
        metrics_pb2.Metric(name="gpu.power", type=gauge, value=70, unit="W", labels={"gpu": "0"}),
        metrics_pb2.Metric(name="torch.storages", type=gauge, value=4, labels={"session": "mine"}),
        metrics_pb2.Metric(name="torch.storages", type=gauge, value=9, labels={"session": "other"}),
        metrics_pb2.Metric(name="torch.operations", type=metrics_pb2.METRIC_TYPE_COUNTER, value=9),
    ]
    course = Course("local")
    course.add(status("mine"), metrics)
    lines = course.text().splitlines()
    assert lines[0].startswith("local: connected")
    assert [line.split() for line in lines[1:]] == [
        ["gpu.power", "0", "70", "W"],
        ["host.load", "1.5"],
        ["torch.storages", "4"],
    ]


def table_rows(html: str) -> list[list[str]]:
    """The cells of the first table in some HTML."""
    start = html.index("<table")
    table = ET.fromstring(html[start : html.index("</table>") + len("</table>")])  # noqa: S314 (our own)
    return [[cell.text or "" for cell in row] for row in table.iter("tr")]


def status(session_id: str) -> Status:
    """A status as a server that answers gives it."""
    return Status(
        name="local",
        provider="local",
        address="unix:/s",
        state="connected",
        reason="",
        devices=(),
        torch_version="2.13.0",
        server_version="0.1.0",
        session_id=session_id,
        round_trip_seconds=0.001,
        session=sessions_pb2.Session(session_id=session_id),
    )
