"""%sky save, load, objects, forget, attach, checkpoint and restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Kernel


def test_what_is_saved_is_listed_loaded_and_forgotten(connected: Kernel) -> None:
    connected.ok("%%sky\nx = torch.arange(4.0)\ny = x[1:]")
    assert "pair is kept on local: 1 tensor, 16 B" in connected.ok('%sky save pair {"a b": (x, y), "n": 3}').ledger
    listing = connected.ok("%sky objects").value
    assert "pair" in listing
    assert "16 B" in listing
    assert "pair" in connected.complete("%sky load ")
    connected.ok("%sky load pair")
    connected.ok("%sky load pair other")
    found = connected.ok("(pair['a b'][1].tolist(), other['n'], other['a b'][0] is x)").value
    assert found == "([1.0, 2.0, 3.0], 3, True)"
    connected.ok("%sky forget pair")
    assert "Nothing is saved on local" in connected.ok("%sky objects").value
    assert "there is no object 'pair' on local" in connected.usage_error("%sky load pair")
    assert "there is no object 'pair' on local" in connected.usage_error("%sky forget pair")
    connected.ok("%sky save two-words x")
    assert "%sky load two-words VAR" in connected.usage_error("%sky load two-words")
    assert "EXPR" in connected.usage_error("%sky save two-words")
    assert "can't be saved" in connected.usage_error("%sky save it (x, (number for number in []))")
    connected.ok("%sky forget two-words")


def test_a_server_without_a_folder_says_what_it_needs(connected: Kernel) -> None:
    connected.ok("%%sky\nx = torch.ones(3)")
    connected.ok("%sky save x x")
    assert "--checkpoint-dir" in connected.usage_error("%sky checkpoint")
    assert "--checkpoint-dir" in connected.usage_error("%sky restore")
    connected.ok("%sky forget x")


def test_another_kernel_takes_the_session_over(connected: Kernel) -> None:
    connected.ok("%%sky\nx = torch.full((3,), 7.0)")
    connected.ok("%sky save x x")
    session_id = connected.ok("print(compute.session().id)").printed.strip()
    other = type(connected)()
    try:
        other.ok("%load_ext jupyter_skytorch")
        assert session_id in other.complete("%sky attach ")
        assert "there is no session 'ffff'" in other.usage_error("%sky attach ffff")
        assert "connected" in other.ok(f"%sky attach {session_id} --name mine").value
        assert other.ok("%sky load x\nprint(x.tolist())").printed.strip() == "[7.0, 7.0, 7.0]"
        error = connected.run("x + 1; x.sum().item()").error
        assert "SessionLost" in error
        assert "another kernel has taken over this session" in error
        connected.ok("compute.close()")
        assert other.ok("print(x.sum().item())").printed.strip() == "21.0"
    finally:
        other.end()
