"""Arguments of a subcommand: argparse, with one-line errors and suggestions instead of exits."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, NoReturn

from IPython.core.error import UsageError

from jupyter_skytorch.compute.suggestion import did_you_mean
from skytorch_wire.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Parser", "seconds", "split"]


def split(line: str) -> list[str]:
    """Split a magic's line into words as a shell does. Raises UsageError."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%sky: {str(error).lower()} in: {line}") from None


def seconds(text: str) -> float:
    """Read the value of a flag that is a time."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class Parser(argparse.ArgumentParser):
    """The arguments of a magic or a subcommand, as it is written: "%sky list"."""

    def __init__(self, written: str, description: str) -> None:
        super().__init__(prog=written, description=description, add_help=False, allow_abbrev=False, exit_on_error=False)
        self.completers: dict[str, Callable[[], Sequence[str]]] = {}

    def argument(
        self,
        *names: str,
        completer: Callable[[], Sequence[str]] | None = None,
        explain: str,
        **options: object,
    ) -> None:
        """Add an argument; `completer` lists the values that completion offers."""
        action = self.add_argument(*names, help=explain, **options)  # type: ignore[arg-type]
        if completer is not None:
            self.completers[action.dest] = completer

    def flags(self) -> list[str]:
        """Return the names of all flags."""
        return sorted(name for name in self._option_string_actions if name.startswith("--"))

    def takes_value(self, flag: str) -> bool:
        """Whether the word after a flag belongs to it."""
        action = self._option_string_actions.get(flag)
        return action is not None and action.nargs != 0

    def value_completer(self, flag: str) -> Callable[[], Sequence[str]] | None:
        """Return what completes the value of a flag."""
        action = self._option_string_actions.get(flag)
        return self.completers.get(action.dest) if action is not None else None

    def positional_completer(self) -> Callable[[], Sequence[str]] | None:
        """Return what completes the positional argument."""
        return next(
            (self.completers[a.dest] for a in self._get_positional_actions() if a.dest in self.completers), None
        )

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Read the words after the subcommand. Raises UsageError, one line."""
        for word in words:
            flag = word.partition("=")[0]
            if flag.startswith("-") and flag not in self._option_string_actions and flag not in {"-", "--"}:
                self.error(f"there is no flag {flag}{did_you_mean(flag, self.flags())}")
        try:
            options, extra = self.parse_known_args(list(words))
        except argparse.ArgumentError as error:
            self.error(str(error))
        if extra:
            self.error(f"unexpected {extra[0]!r}")
        return options

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with the message and where to read more."""
        raise UsageError(f"{self.prog}: {message} ({self.prog} --help)")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Raise UsageError: a magic must not end the kernel."""
        raise UsageError(message or f"{self.prog}: exit {status}")
