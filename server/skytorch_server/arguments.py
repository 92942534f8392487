"""Flags that may also come from the environment, and what their values may be."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from skytorch_wire.durations import parse_duration
from skytorch_wire.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

_LAST_PORT = 65535
_YES = ("1", "true", "yes", "on")
_NO = ("0", "false", "no", "off")


class FlagGroup:
    """Some flags of a command line under one title.

    Each may come from an environment variable instead: its name, as ``SKYTORCH_TOKEN_FILE`` for ``--token-file``. An
    empty variable is an unset one.
    """

    def __init__(self, parser: argparse.ArgumentParser, title: str, description: str | None = None) -> None:
        self._parser = parser
        self._group = parser.add_argument_group(title, description)

    def value(
        self,
        name: str,
        type_: Callable[[str], Any],
        metavar: str,
        explain: str,
        *,
        default: str | None = None,
        otherwise: str = "",
    ) -> None:
        """Adds a flag with a value. `default` is one, as a person writes it; `otherwise` says what no value means."""
        variable = _variable(name)
        without = default or otherwise
        self._group.add_argument(
            name,
            # Of text argparse makes a value as it does of a flag's.
            type=type_,
            metavar=metavar,
            default=os.environ.get(variable) or default,
            help=f"{explain} ({variable}{f', default {without}' if without else ''})",
        )

    def switch(self, name: str, explain: str) -> None:
        """Adds a flag without a value, which is on or off."""
        variable = _variable(name)
        text = os.environ.get(variable, "").lower()
        if text and text not in (*_YES, *_NO):
            self._parser.error(f"{variable} is 1 or 0, yes or no, not {text!r}")
        self._group.add_argument(name, action="store_true", default=text in _YES, help=f"{explain} ({variable})")


def _variable(name: str) -> str:
    return "SKYTORCH_" + name.removeprefix("--").replace("-", "_").upper()


def one_of(*names: str) -> Callable[[str], str]:
    """One of some names, which are told apart without their case; as it is written here."""

    def choose(text: str) -> str:
        for name in names:
            if name.lower() == text.lower():
                return name
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")

    return choose


def whole_number(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def positive_int(text: str) -> int:
    """A whole number of 1 or more."""
    number = whole_number(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def port(text: str) -> int:
    """The number of a TCP port, 0 among them."""
    number = whole_number(text)
    if not 0 <= number <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, which is a number from 0 to {_LAST_PORT}")
    return number


def seconds(text: str) -> float:
    """A time of more than 0 s, in seconds or another unit."""
    try:
        number = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all")
    return number


def size(text: str) -> int:
    """A number of bytes of 1 or more, with or without a unit."""
    try:
        number = parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no bytes at all")
    return number
