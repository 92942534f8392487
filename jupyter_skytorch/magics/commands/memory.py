"""Show what fills a Compute's devices, by the names of this notebook's variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from jupyter_skytorch.display.quantities import size
from jupyter_skytorch.display.table import Table
from jupyter_skytorch.magics.holdings import Holding, holdings
from jupyter_skytorch.magics.names import chosen, compute_names

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "name", nargs="?", metavar="NAME", completer=compute_names, explain="a Compute; otherwise the current one"
    )


def run(options: argparse.Namespace, magics: SkyMagics) -> Table[Holding]:
    """Look, and ask the server."""
    compute = chosen(options.name)
    compute.session().open_device(compute.default_device, 0)  # shown, whether or not it was used
    rows: list[Holding] = []
    for (kind, index), device in compute.session().opened().items():
        named = holdings(magics.shell.user_ns if magics.shell else {}, [device])
        total = torch.sky.memory_allocated(device)  # type: ignore[attr-defined]
        free, capacity = torch.sky.mem_get_info(device)  # type: ignore[attr-defined]
        rest = total - sum(holding.bytes for holding in named)
        rows += named
        if rest > 0:
            rows.append(Holding(["(no variable)"], "results, gradients and buffers without a name", rest))
        rows.append(Holding([f"{kind}:{index}"], f"in all; {size(free)} of {size(capacity)} free", total))
    return Table(rows, ("variable", "what", "holds"), _row, empty="")


def _row(holding: Holding) -> tuple[str, ...]:
    return ", ".join(holding.names), holding.what, size(holding.bytes)
