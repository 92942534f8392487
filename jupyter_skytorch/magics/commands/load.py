"""Bring back what was saved in the session by a name, as the variable of that name; nothing of its tensors travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from jupyter_skytorch.magics.names import chosen, object_names

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("name", metavar="NAME", completer=object_names, explain="what it was saved by")
    parser.argument("variable", nargs="?", metavar="VAR", explain="the variable that it becomes, otherwise NAME")


def run(options: argparse.Namespace, magics: SkyMagics) -> None:
    """Load it."""
    variable = options.variable or options.name
    if not variable.isidentifier():
        raise UsageError(f"{variable!r} can't be a variable: say which it becomes, %sky load {options.name} VAR")
    thing = chosen(None).load(options.name)
    if magics.shell:
        magics.shell.push({variable: thing})
