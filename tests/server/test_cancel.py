"""What an interrupt skips: the ops that it names, and what they would have updated stays as it was."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest

from skytorch_wire import sessions_pb2
from skytorch_wire.records import Output, Record, Value, View, Writer
from skytorch_wire.replies import DataReply, ErrorReply

if TYPE_CHECKING:
    from conftest import Client, Stream

KEPT, FRESH = View(1, "uint8", [4]), View(2, "uint8", [4])


def home(view: View) -> bytes:
    return Writer().byte(Value.TENSOR_HOME).varint(view.storage).take()


def op(name: str, *arguments: bytes, outputs: bytes = b"\0") -> bytes:
    return Writer().byte(Record.OP).varint(0).text(name).varint(len(arguments)).take() + b"".join(arguments) + outputs


@pytest.fixture
def stream(alice: Client) -> Stream:
    created = alice.create()
    stream = alice.stream(created)
    stream.response()
    stream.send(Writer().define_device(0, "cpu", 0).ensure(KEPT, 0).write(1, 0, b"\x01\x02\x03\x04").take(), 3)
    stream.cancel = lambda first, last: alice.call(
        alice.sessions.Cancel,
        sessions_pb2.CancelRequest(session_id=created.session.session_id, from_sequence=first, through_sequence=last),
    )
    return stream


def test_an_update_by_what_was_skipped_is_skipped_too(stream: Stream) -> None:
    """As the step of an optimizer, by gradients that were never computed."""
    stream.cancel(4, 5)
    output = Writer().byte(Output.TENSOR).varint(FRESH.storage).layout(FRESH).take()
    stream.send(op("aten::add.Tensor", home(KEPT), home(KEPT), outputs=b"\x01" + output), 1)
    stream.send(op("aten::add_.Tensor", home(KEPT), home(FRESH)), 1)
    stream.send(Writer().read(KEPT).read(FRESH).take(), 2)
    kept, fresh = islice(stream.replies(), 2)
    assert isinstance(kept, DataReply)
    assert kept.data == b"\x01\x02\x03\x04"
    assert isinstance(fresh, ErrorReply)
    assert "interrupt" in fresh.message


def test_what_comes_after_is_executed(stream: Stream) -> None:
    stream.cancel(4, 4)
    stream.send(op("aten::add_.Tensor", home(KEPT), home(KEPT)) * 2 + Writer().read(KEPT).take(), 3)
    assert next(stream.replies()).data == b"\x02\x04\x06\x08"
