"""Nobody asks the extension without Jupyter's token."""

from __future__ import annotations

from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

ROUTES = ["skytorch/api/status", "skytorch/api/sessions", "skytorch/api/metrics"]


@pytest.mark.parametrize("route", ROUTES)
async def test_a_request_without_jupyters_token_is_refused(jupyter: Any, route: str) -> None:
    assert (await jupyter.fetch(route, token="")).code == 403
    assert (await jupyter.fetch(route, token="a guess")).code == 403


async def test_a_websocket_without_jupyters_token_is_refused(jupyter: Any) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await jupyter.look(token="")
    assert refused.value.code == 403
