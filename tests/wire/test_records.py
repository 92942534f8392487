"""The record format: the Python side says what the C++ side says, and reads what it wrote."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import skytorch_wire
from skytorch_wire import format as numbers
from skytorch_wire import records
from skytorch_wire.format import Memory, Output, Record, Value
from skytorch_wire.records import MalformedError, View, Writer, read_records
from skytorch_wire.replies import read_replies

if TYPE_CHECKING:
    from enum import IntEnum

FORMAT = (Path(skytorch_wire.__file__).parent / "include/skytorch_wire/format.h").read_text()


@pytest.mark.parametrize("name", ["Record", "Value", "Output", "Reply", "ErrorKind", "Memory"])
def test_tags_are_those_of_the_header(name: str) -> None:
    (body,) = re.findall(rf"enum class {name} : uint8_t {{(.*?)}};", FORMAT, re.DOTALL)
    theirs = {word.upper(): int(number) for word, number in re.findall(r"k(\w+) = (\d+)", body)}
    ours: type[IntEnum] = getattr(numbers, name)
    assert {member.name.replace("_", ""): member.value for member in ours} == theirs


def test_dtypes_have_the_size_that_torch_gives_them() -> None:
    import torch

    for name in numbers.DTYPES.values():
        assert numbers.ITEM_BYTES[name] == getattr(torch, name).itemsize


def test_records_are_read_as_they_were_written() -> None:
    view = View(7, "bfloat16", [2, 3], [1, 2], 4)
    written = (
        Writer()
        .define_device(1, "cuda", 3)
        .ensure(View(7, "float32", [5]), 1)
        .write(7, 8, b"abcd")
        .read(view)
        .ask("aten::neg", [Writer().tensor(view)], [9])
        .read(View(7, "complex64", [2], conjugate=True))
        .free(7)
        .setting("sdp_use_flash", [False, 3, "tf32"])
        .memory(1, Memory.INFO)
        .take()
    )
    assert list(read_records(written)) == [
        (Record.DEFINE_DEVICE, [1, "cuda", 3]),
        (Record.ENSURE, [1, 20, View(7, "float32", [5])]),
        (Record.WRITE, [7, 8, b"abcd"]),
        (Record.READ, [view]),
        (Record.ASK, ["aten::neg", [view], [9]]),
        (Record.READ, [View(7, "complex64", [2], conjugate=True)]),
        (Record.FREE, [7]),
        (Record.SETTING, ["sdp_use_flash", [False, 3, "tf32"]]),
        (Record.MEMORY, [1, Memory.INFO]),
    ]


@pytest.mark.parametrize("number", [0, 1, 127, 128, 2**32, 2**63 - 1, -1, -64, -(2**63)])
def test_signed_numbers_of_any_size(number: int) -> None:
    assert records.Reader(Writer().zigzag(number).take()).zigzag() == number


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff",
        b"\x08\x01",
        bytes([Record.OP, 0, 200]),
        bytes([Record.READ, Value.TENSOR_VIEW, 1, 99, 0]),
        b"\x07" + b"\xff" * 11,
    ],
)
def test_what_is_no_record_is_refused(broken: bytes) -> None:
    with pytest.raises(MalformedError):
        list(read_records(broken))


def test_what_is_no_reply_is_refused() -> None:
    with pytest.raises(MalformedError):
        list(read_replies(b"\x09\x01"))
    assert Output(0) is Output.SKIP
