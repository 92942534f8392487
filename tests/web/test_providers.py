"""Servers of providers that the configuration does not allow are not asked."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import pytest

from jupyter_skytorch.compute import records
from jupyter_skytorch.compute.credentials import Credential
from jupyter_skytorch.compute.records import SessionRecord


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return {"SkyTorchProviders": {"allowed": ["address"]}}


async def test_a_session_of_another_provider_is_listed_and_its_server_not_asked(jupyter: Any) -> None:
    records.write(
        SessionRecord(
            session_id="s1",
            name="local",
            address="unix:/run/elsewhere.sock",
            provider="local",
            boot_id="b1",
            kernel_id=None,
            pid=os.getpid(),
            created=datetime.now(UTC).isoformat(),
            insecure=False,
            credential=Credential(),
        )
    )

    (compute,) = (await jupyter.get("skytorch/api/sessions"))["computes"]

    assert compute["health"]["state"] == "unwatched"
    assert [session["name"] for session in compute["sessions"]] == ["local"]
