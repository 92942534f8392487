"""Tokens: where they are looked for, and what a bad file is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jupyter_skytorch.compute.credentials import Credential, CredentialError, bearer, resolve

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_token_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKYTORCH_TOKEN", raising=False)


def test_without_a_token_nothing_is_sent() -> None:
    assert resolve() == (Credential("none"), None)
    assert bearer(None) == ()


@pytest.mark.parametrize("content", ["secret\n", "# mine\n\nada:secret\n", " ada: secret "])
def test_a_token_file_may_be_the_servers_own(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    credential, token = resolve(token_file=tmp_path / "token")
    assert token == "secret"
    assert credential == Credential("token-file", str(tmp_path / "token"))
    assert bearer(credential.token()) == (("authorization", "Bearer secret"),)


def test_a_token_from_the_environment_or_an_argument_stays_in_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYTORCH_TOKEN", "from-outside")
    assert resolve() == (Credential("kernel-only"), "from-outside")
    assert resolve(token="given") == (Credential("kernel-only"), "given")
    assert Credential("kernel-only").token() is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "does not exist"),
        ("", "none"),
        ("a:1\nb:2\n", "holds 2"),
        ("two words", "cannot have"),
        ("ada:", "empty"),
    ],
)
def test_a_bad_token_file_is_named_and_its_content_is_not(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CredentialError, match=says) as caught:
        resolve(token_file=path)
    assert str(path) in str(caught.value)
    assert "two words" not in str(caught.value)
