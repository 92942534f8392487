"""Nobody asks the extension whom Jupyter's authorizer does not let."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tornado.httpclient import HTTPClientError

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = """
from jupyter_server.auth.authorizer import Authorizer

class NobodyMayLook(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return resource != "skytorch"
"""


@pytest.fixture(scope="module")
def config(folder: Path) -> dict[str, Any]:
    (folder / "nobody.py").write_text(NOBODY)
    return {"ServerApp": {"authorizer_class": "nobody.NobodyMayLook"}}


async def test_a_user_who_may_not_is_refused_on_every_route(jupyter: Any) -> None:
    for route in ("skytorch/api/status", "skytorch/api/sessions"):
        assert (await jupyter.fetch(route)).code == 403
    keep_alive = "skytorch/api/computes/0/sessions/0/keep-alive"
    assert (await jupyter.fetch(keep_alive, method="POST", body="")).code == 403
    with pytest.raises(HTTPClientError) as refused:
        await jupyter.look()
    assert refused.value.code == 403
