"""Providers that whoever runs the machine has switched off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import jupyter_skytorch
from jupyter_skytorch import ConnectError, connect
from jupyter_skytorch.compute import Compute, providers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of configuration for all users of the machine."""
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(folder))
    return folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder of configuration."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(folder))
    return folder


def allow(folder: Path, *names: str) -> None:
    (folder / "jupyter_skytorch_config.py").write_text(f"c.SkyTorchProviders.allowed = {list(names)!r}")


def test_all_are_allowed_unless_somebody_says_otherwise(admin: Path, own: Path) -> None:
    assert providers.allowed() == {"local", "address", "kubernetes"}


def test_a_provider_that_is_switched_off_is_refused_in_one_line(admin: Path) -> None:
    allow(admin, "kubernetes")
    file = admin / "jupyter_skytorch_config.py"
    refusals = {
        "local": connect,
        "address": lambda: connect("grpc://127.0.0.1:1"),
    }
    for provider, refused in refusals.items():
        with pytest.raises(ConnectError) as caught:
            refused()
        assert str(caught.value) == f"the provider {provider!r} is switched off here, by {file}: use kubernetes"
    assert jupyter_skytorch.computes() == {}


def test_kubernetes_is_refused_before_the_cluster_is_asked(admin: Path) -> None:
    allow(admin, "local", "address")
    for refused in (lambda: Compute("one", image="x"), lambda: connect("one", provider="kubernetes", image="x")):
        with pytest.raises(ConnectError, match=r"'kubernetes' is switched off here, by .*: use local or address$"):
            refused()


def test_a_user_can_switch_off_more_but_nothing_on(admin: Path, own: Path) -> None:
    allow(admin, "kubernetes", "address")
    allow(own, "local", "address")
    assert providers.allowed() == {"address"}
    with pytest.raises(ConnectError, match="'local' is switched off"):
        connect()


def test_json_will_do(admin: Path) -> None:
    content = {"SkyTorchProviders": {"allowed": ["local"]}}
    (admin / "jupyter_skytorch_config.json").write_text(json.dumps(content))
    assert providers.allowed() == {"local"}


def test_what_is_for_the_sidebar_alone_changes_nothing(admin: Path) -> None:
    (admin / "jupyter_skytorch_config.py").write_text("c.SkyTorchApp.metrics_interval = 2.0")
    assert providers.allowed() == {"local", "address", "kubernetes"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("c.SkyTorchProviders.allowed = 3", "allowed"),
        ("c.SkyTorchProviders.allowed = ['kubernets']", "kubernets"),
        ("c.SkyTorchProviders.allowed = [", "can't be read: SyntaxError"),
        ("1 / 0", "can't be read: ZeroDivisionError"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_one_line(admin: Path, content: str, says: str) -> None:
    (admin / "jupyter_skytorch_config.py").write_text(content)
    with pytest.raises(ConnectError, match=says) as caught:
        connect()
    assert "\n" not in str(caught.value)
    assert "jupyter_skytorch_config.py" in str(caught.value)
