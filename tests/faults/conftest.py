"""A server on a port, and a link to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.link import link
from bench.server import server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.link import Link


@pytest.fixture(scope="module")
def far() -> Iterator[Link]:
    """A link of no length, which a test may change, to a server that is reached by it alone."""
    with server("--no-direct") as place, link(place) as far:
        yield far
