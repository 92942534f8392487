"""``%sky``: its subcommands, their values, and what a mistake is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Kernel


def test_connect_returns_the_compute_and_shows_it(kernel: Kernel) -> None:
    assert "local: connected" in kernel.ok("%sky connect").value
    assert kernel.ok("x = %sky connect\nprint(type(x).__name__, x.name)").printed == "Compute local\n"


def test_status_list_and_sessions_read_as_text_and_as_html(connected: Kernel) -> None:
    for code, words in {
        "%sky status": ["local", "connected", "cpu:0", "round trip"],
        "%sky list": ["local", "connected", "▸"],
        "%sky sessions": ["local", "▸"],
    }.items():
        shown = connected.ok(code).result
        assert shown is not None
        for word in words:
            assert word in shown["text/plain"]
            assert word in shown["text/html"]
        assert "--jp-" in shown["text/html"]
    assert connected.ok("s = %sky status\ns.state, s.session_id == compute.session().id").value == "('connected', True)"


def test_use_chooses_where_cells_run(connected: Kernel) -> None:
    connected.ok("%sky connect --name second")
    assert "sky second" in connected.ok("%%sky\n1").ledger
    connected.ok("%sky use local")
    assert "sky local" in connected.ok("%%sky\n1").ledger
    assert "sky second" in connected.ok("%%sky second\n1").ledger


def test_disconnect_closes_the_session(connected: Kernel) -> None:
    assert "disconnected from local" in connected.ok("%sky disconnect").ledger
    assert connected.ok("compute.state").value == "'closed'"
    assert "nothing is connected" in connected.usage_error("%sky disconnect")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%sky conect", "did you mean 'connect'?"),
        ("%sky frobnicate", "it has attach, checkpoint, connect,"),
        ("%sky connect --nam x", "did you mean '--name'?"),
        ("%sky connect --name", "expected one argument"),
        ("%sky connect a b", "unexpected 'b'"),
        ("%sky connect 'a", "no closing quotation"),
        ("%sky connect localhost:50051", "did you mean 'grpc://localhost:50051'?"),
        ("%sky connect grpc://127.0.0.1:1", "nothing listens at grpc://127.0.0.1:1"),
        ("%sky connect lcal", "did you mean 'local'?"),
        ("%sky use", "required: NAME"),
        ("%sky use locl", "did you mean 'local'?"),
        ("%sky status locl", "did you mean 'local'?"),
        ("%sky help conect", "did you mean 'connect'?"),
        ("%%sky locl\n1", "did you mean 'local'?"),
        ("%%sky --as-cud\n1", "did you mean '--as-cuda'?"),
        ("%%sky local local\n1", "unexpected 'local'"),
    ],
)
def test_a_mistake_gets_one_line(connected: Kernel, line: str, says: str) -> None:
    assert says in connected.usage_error(line)


def test_help_lists_and_explains(kernel: Kernel) -> None:
    for code in ("%sky", "%sky help"):
        shown = kernel.ok(code).displays[-1]["text/plain"]
        for command in (
            "connect",
            "status",
            "list",
            "sessions",
            "use",
            "monitor",
            "disconnect",
            "help",
            "memory",
            "%%sky [NAME]",
        ):
            assert command in shown
    for code in ("%sky help connect", "%sky connect --help", "%sky connect -h"):
        shown = kernel.ok(code).displays[-1]["text/plain"]
        for flag in ("--name", "--token-file", "--ca", "--cert", "--key", "--insecure"):
            assert flag in shown


def test_completion_knows_commands_flags_and_names(connected: Kernel) -> None:
    assert connected.complete("%sky con") == ["connect"]
    assert connected.complete("x = %sky st") == ["status"]
    assert "disconnect" in connected.complete("%sky ")
    assert connected.complete("%sky connect --na") == ["--name", "--namespace"]
    assert connected.complete("%sky use ") == ["local"]
    assert connected.complete("%sky status lo") == ["local"]
    assert connected.complete("%%sky lo") == ["local"]
    assert connected.complete("%%sky --as") == ["--as-cuda"]
    assert connected.complete("%%sky --as-cuda lo") == ["local"]
    assert connected.complete("%sky help disc") == ["disconnect"]
    assert "torch" in connected.complete("%%sky\nx = tor")


def test_configuration_is_seen_and_changed_by_config(connected: Kernel) -> None:
    shown = connected.ok("%config SkyMagics").printed
    for trait in ("target", "provider", "image", "token_file", "ca", "cert", "key", "ledger", "progress_delay"):
        assert f"SkyMagics.{trait}" in shown
    connected.ok("%config SkyMagics.ledger = False")
    assert connected.ok("%%sky\n1").displays == []
    connected.ok("%config SkyMagics.ledger = True")
    assert "sky local" in connected.ok("%%sky\n1").ledger


def test_unloading_takes_the_magics_away_and_leaves_the_connection(connected: Kernel) -> None:
    connected.ok("%unload_ext jupyter_skytorch")
    assert "not found" in connected.usage_error("%sky list")
    assert connected.complete("%sky con") != ["connect"]
    assert connected.ok("compute.state").value == "'connected'"
    connected.ok("%load_ext jupyter_skytorch")
    assert "▸" in connected.ok("%sky list").value


def test_the_monitor_has_a_view_a_page_and_a_text(connected: Kernel) -> None:
    shown = connected.ok("m = %sky monitor\nm").result
    assert shown is not None
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert "host.memory.used" in shown["text/plain"]
    assert "<svg" in shown["text/html"]
    connected.ok("m.close()\nm._thread.join(10)\nassert not m._thread.is_alive()")


def test_the_monitor_stops_when_its_compute_is_gone(connected: Kernel) -> None:
    connected.ok("m = %sky monitor\n%sky disconnect\nm._thread.join(10)\nassert not m._thread.is_alive()")
    assert "closed" in connected.ok("m._course.text()").value
