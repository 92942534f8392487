"""List this notebook's Computes; the current one is marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.compute.registry import computes, current
from jupyter_skytorch.display.table import Table

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute import Compute
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(_parser: Parser) -> None:
    """It takes none."""


def run(_options: argparse.Namespace, _magics: SkyMagics) -> Table[Compute]:
    """List."""
    return Table(
        list(computes().values()),
        ("", "Compute", "state", "provider", "address"),
        _row,
        empty="Nothing is connected: %sky connect",
    )


def _row(compute: Compute) -> tuple[str, ...]:
    state = f"{compute.state}: {compute.reason}" if compute.reason else compute.state
    return "▸" if compute is current() else "", compute.name, state, compute.provider, compute.address
