"""Servers that want a token: it is referred to, used, and never shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cret-of-ada"


@pytest.fixture
def tokens(folder: Path) -> Path:
    """What the server's operator wrote."""
    path = folder / "tokens"
    path.write_text(f"ada:{SECRET}\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def reference(folder: Path) -> Path:
    """The file that the configuration refers to."""
    return folder / "token-of-ada"


@pytest.fixture(scope="module")
def config(folder: Path, reference: Path) -> dict[str, Any]:
    address = f"unix:{folder}/guarded/front.sock"
    return {"SkyTorchApp": {"servers": [{"name": "box", "address": address, "token_file": str(reference)}]}}


async def test_a_configured_server_is_asked_with_the_token_of_the_file(
    jupyter: Any, start_server: Any, tokens: Path, reference: Path
) -> None:
    reference.write_text(SECRET)
    await start_server("guarded", "--token-file", str(tokens))

    answer = await jupyter.fetch("skytorch/api/sessions")

    (compute,) = json.loads(answer.body)["computes"]
    assert (compute["name"], compute["health"]["state"]) == ("box", "serving")
    browser = await jupyter.look()
    assert await browser.metrics()
    assert SECRET not in answer.body.decode()
    assert SECRET not in jupyter.log.read_text()


async def test_a_wrong_token_is_told_from_a_server_that_is_gone(
    jupyter: Any, start_server: Any, tokens: Path, reference: Path
) -> None:
    reference.write_text("another")
    await start_server("guarded", "--token-file", str(tokens))

    (compute,) = (await jupyter.get("skytorch/api/sessions"))["computes"]

    assert compute["health"]["state"] == "refused"
    assert compute["health"]["reason"] == "it does not accept the credential"


async def test_a_token_file_that_is_missing_is_named(
    jupyter: Any, start_server: Any, tokens: Path, reference: Path
) -> None:
    reference.unlink(missing_ok=True)
    await start_server("guarded", "--token-file", str(tokens))

    (compute,) = (await jupyter.get("skytorch/api/sessions"))["computes"]

    assert compute["health"]["state"] == "refused"
    assert str(reference) in compute["health"]["reason"]
