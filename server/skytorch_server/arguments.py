"""What the values of flags and of their environment variables may be."""

from __future__ import annotations

import argparse

from skytorch_wire.sizes import parse_size

_LAST_PORT = 65535


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
    """A time of more than 0 s."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
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
