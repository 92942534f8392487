"""The subcommands of ``%sky``: one module each in :mod:`.commands`, named after it."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from IPython.core.error import UsageError

from jupyter_skytorch.compute.suggestion import did_you_mean

from . import commands
from .parser import Parser, split

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from .sky import SkyMagics

__all__ = ["Command", "find", "names"]


class _Module(Protocol):
    __doc__: str | None

    def arguments(self, parser: Parser, /) -> None: ...
    def run(self, options: argparse.Namespace, magics: SkyMagics, /) -> object: ...


@dataclass(frozen=True)
class Command:
    """A subcommand. Its module's docstring says what it does, `arguments` and `run` are its functions."""

    name: str
    module: _Module

    @property
    def summary(self) -> str:
        """The first line of what it does."""
        return (self.module.__doc__ or "").strip().partition("\n")[0]

    def parser(self) -> Parser:
        """Return the parser of its arguments."""
        parser = Parser(f"%sky {self.name}", (self.module.__doc__ or "").strip())
        self.module.arguments(parser)
        return parser

    def words(self, line: str) -> list[str]:
        """Split what is written behind it. Raises UsageError."""
        own: Callable[[str], list[str]] | None = getattr(self.module, "words", None)
        return own(line) if own else split(line)

    def run(self, options: argparse.Namespace, magics: SkyMagics) -> object:
        """Run it; what it returns is the value of ``%sky``."""
        return self.module.run(options, magics)


@cache
def names() -> tuple[str, ...]:
    """Return the names of all subcommands."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(commands.__path__)))


def find(name: str) -> Command:
    """Return a subcommand. Raises UsageError for an unknown one."""
    if name not in names():
        hint = did_you_mean(name, names())
        raise UsageError(f"%sky has no command {name!r}{hint or ': it has ' + ', '.join(names())}")
    return Command(name, cast("_Module", import_module(f"{commands.__name__}.{name}")))
