"""The version that both parts of the extension compare, and the settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from jupyter_skytorch.web.app import SkyTorchApp
from skytorch_wire import PROTOCOL_VERSION, __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return {"SkyTorchApp": {"metrics_interval": 0.5, "metrics_history": 30}}


async def test_status_tells_versions_and_settings(jupyter: Any) -> None:
    assert await jupyter.get("skytorch/api/status") == {
        "version": __version__,
        "protocol_version": PROTOCOL_VERSION,
        "metrics_interval": 0.5,
        "metrics_history": 30,
    }


def test_the_sidebar_has_the_version_of_the_package() -> None:
    assert json.loads((ROOT / "labextension/package.json").read_text())["version"] == __version__


def test_every_setting_explains_itself() -> None:
    for name in ("metrics_interval", "metrics_history", "servers"):
        trait = SkyTorchApp.class_traits(config=True)[name]
        assert len(trait.help) > 20, name


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"address": "http://host:1"}, "did you mean 'grpc://host:1'"),
        ({"address": "grpc://host:1", "token": "abc"}, "unknown key 'token'"),
        ({"name": "box"}, "needs an `address`"),
    ],
)
def test_a_wrong_server_entry_is_named(entry: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TraitError, match=r"SkyTorchApp\.servers") as error:
        SkyTorchApp(config=Config({"SkyTorchApp": {"servers": [entry]}}))
    assert complaint in str(error.value)
