"""Keep what an expression gives (tensors, a module, an optimizer, a tuple of them) in the session by a name.

Its tensors are kept themselves, not copies: what a training step writes to them later is in what %sky load brings back.
Which tensors there are, numbers and CPU tensors (an optimizer's step) stay as they are now, until it is saved again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.display.quantities import count, size
from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics.names import chosen

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def words(line: str) -> list[str]:
    """The name, and the expression as it is written."""
    name, _, expression = line.strip().partition(" ")
    return [word for word in (name, expression.strip()) if word]


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("name", metavar="NAME", explain="what to keep it by; an object of that name is replaced")
    parser.argument("expression", metavar="EXPR", explain="Python: a variable, or (model, optimizer)")


def run(options: argparse.Namespace, magics: SkyMagics) -> None:
    """Keep it."""
    compute = chosen(None)
    thing = magics.shell.ev(options.expression) if magics.shell else None
    kept = compute.save(options.name, thing)
    tell(f"{kept.name} is kept on {compute.name}: {count(kept.storages, 'tensor')}, {size(kept.storage_bytes)}")
