"""Tab completion of subcommands, flags and names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.error import UsageError

from .arguments import cell_parser
from .registry import find, names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from .parser import Parser

__all__ = ["install", "uninstall"]

_LINE = re.compile(r"(?:^|=)\s*%sky\s+(.*)$")
_CELL = re.compile(r"^%%sky\s+(.*)$")


@context_matcher(identifier="jupyter_skytorch.sky")  # type: ignore[untyped-decorator]
def match_sky(context: CompletionContext) -> SimpleMatcherResult:
    """Complete what follows ``%sky`` and ``%%sky``."""
    line = context.text_until_cursor
    if (cell := _CELL.search(line)) and context.cursor_line == 0:
        words = cell[1].split(" ")
        return _result(_after_cell_magic([word for word in words[:-1] if word], words[-1]), context.token)
    if found := _LINE.search(line):
        words = found[1].split(" ")
        return _result(_candidates([word for word in words[:-1] if word], words[-1]), context.token)
    return {"completions": []}


def _candidates(before: list[str], word: str) -> Sequence[str]:
    if not before:
        return names()
    try:
        parser = find(before[0]).parser()
    except UsageError:
        return []
    if word.startswith("-"):
        return [flag for flag in ("--help", *parser.flags()) if flag not in before]
    if parser.takes_value(before[-1]):
        completer = parser.value_completer(before[-1])
        return completer() if completer else []
    return _positional(parser)


def _after_cell_magic(before: Sequence[str], word: str) -> Sequence[str]:
    parser = cell_parser()
    if word.startswith("-"):
        return [flag for flag in parser.flags() if flag not in before]
    return [] if any(not given.startswith("-") for given in before) else _positional(parser)


def _positional(parser: Parser) -> Sequence[str]:
    completer = parser.positional_completer()
    return completer() if completer else []


def _result(candidates: Sequence[str], token: str) -> SimpleMatcherResult:
    completions = [SimpleCompletion(text=text, type="magic") for text in candidates if text.startswith(token)]
    # Variables and files of the same beginning would only be in the way.
    return {"completions": completions, "suppress": bool(completions)}


def install(shell: InteractiveShell) -> None:
    """Add the matcher to a shell."""
    if match_sky not in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.append(match_sky)


def uninstall(shell: InteractiveShell) -> None:
    """Take it away again."""
    if match_sky in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(match_sky)
