"""What a ticket for a tensor of another server is good for, and what whoever brings one may do wrong."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire.format import ErrorKind, Sent
from skytorch_wire.records import View, Writer
from tests.server.copying import DATA, SECRET, SIZE, VIEW, Bringer, Session, at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Client


@pytest.fixture
def one(alice: Client) -> Session:
    return Session(alice)


@pytest.fixture
def other(bob: Client) -> Session:
    return Session(bob)


@pytest.fixture
def bringer(other: Session) -> Iterator[Callable[[], Bringer]]:
    made: list[Bringer] = []

    def make() -> Bringer:
        made.append(Bringer(other))
        return made[-1]

    yield make
    for bringer in made:
        bringer.socket.close()


def test_a_tensor_goes_from_session_to_session(one: Session, other: Session) -> None:
    one.hold()
    for ticket in range(1, 4):
        other.expect(ticket)
        assert one.bring(at(other), ticket) == (Sent.ARRIVED, "")
        assert other.received(ticket) == DATA


def test_a_ticket_may_come_later_than_what_it_is_for(one: Session, other: Session) -> None:
    one.hold()
    one.send(Writer().send(5, SECRET, at(other).SerializeToString(), VIEW), 1)
    other.expect(5)
    assert next(one.answers).data == bytes([Sent.ARRIVED])
    assert other.received(5) == DATA


def test_two_sessions_send_to_each_other_at_once(one: Session, other: Session) -> None:
    for session in (one, other):
        session.hold()
        session.expect()
    one.send(Writer().send(1, SECRET, at(other).SerializeToString(), VIEW), 1)
    other.send(Writer().send(1, SECRET, at(one).SerializeToString(), VIEW), 1)
    for session in (one, other):
        assert next(session.answers).data == bytes([Sent.ARRIVED])
        assert session.received() == DATA


def test_a_ticket_needs_its_secret(other: Session, bringer: Callable[[], Bringer]) -> None:
    other.expect()
    for secret in (bytes(32), b"", SECRET[:-1], SECRET + b"\0"):
        stranger = bringer()
        assert stranger.say(secret=secret) == "there is no such ticket"
        assert stranger.answer() is None
    owner = bringer()
    assert owner.say() == ""
    owner.put(DATA)
    assert owner.answer() == ""
    assert other.received() == DATA


def test_a_ticket_is_good_once(other: Session, bringer: Callable[[], Bringer]) -> None:
    other.expect()
    first = bringer()
    assert first.say() == ""
    assert bringer().say() == "the ticket was used before"
    first.put(DATA)
    assert first.answer() == ""
    assert bringer().say() == "the ticket was used before"
    assert other.received() == DATA


def test_a_ticket_expires(other: Session, bringer: Callable[[], Bringer]) -> None:
    other.expect(seconds=0)
    assert bringer().say() == "the ticket has expired"
    assert other.received() == "nothing came by it"
    assert other.works()


def test_a_ticket_is_for_so_many_bytes(other: Session, bringer: Callable[[], Bringer]) -> None:
    other.expect()
    for size in (SIZE + 1, SIZE - 1, 0, 2**64 - 1):
        assert bringer().say(size=size) == f"the ticket is for {SIZE} bytes, not {size}"
    last = bringer()
    assert last.say() == ""
    last.put(DATA + b"and more, which is no message")
    assert last.answer() == ""
    assert last.answer() is None
    assert other.received() == DATA


def test_a_ticket_is_taken_back(other: Session, bringer: Callable[[], Bringer]) -> None:
    other.expect()
    late = bringer()
    assert late.say() == ""
    late.put(DATA[:1000])
    other.send(Writer().withdraw(1), 1)
    other.expect(2)
    # The rest comes by another way than the records: not before they are executed.
    assert other.works()
    late.put(DATA[1000:])
    assert late.answer() is None
    assert bringer().say() == "there is no such ticket"
    assert other.received(2) == "nothing came by it"
    assert other.works()


def test_what_breaks_off_is_not_there(other: Session, bringer: Callable[[], Bringer]) -> None:
    other.expect()
    broken = bringer()
    assert broken.say() == ""
    broken.put(DATA[: SIZE // 2])
    broken.socket.shutdown(socket.SHUT_WR)
    assert broken.answer() is None
    assert bringer().say() == "the ticket was used before"
    assert other.received() == "the copy broke off"
    assert other.works()


@pytest.mark.parametrize(
    "said", [b"", b"\xff\xff\xff\xff", b"\x05\0\0\0hello", b"GET / HTTP/1.1\r\n\r\n" * 100, b"\0\4\0\0" + bytes(1024)]
)
def test_what_is_no_copy_is_not_taken(other: Session, bringer: Callable[[], Bringer], said: bytes) -> None:
    stranger = bringer()
    stranger.put(said)
    stranger.socket.shutdown(socket.SHUT_WR)
    assert stranger.read(1) is None
    assert other.works()


MALFORMED = {
    "twice": lambda: Writer().expect(1, 0, 8, 60, SECRET).expect(1, 0, 8, 60, SECRET),
    "of no bytes": lambda: Writer().expect(1, 0, 0, 60, SECRET),
    "for too long": lambda: Writer().expect(1, 0, 8, 121, SECRET),
    "with a short secret": lambda: Writer().expect(1, 0, 8, 60, SECRET[:-1]),
    "on no device": lambda: Writer().expect(1, 9, 8, 60, SECRET),
    "never given out, received": lambda: Writer().receive(3),
    "never given out, withdrawn": lambda: Writer().withdraw(3),
    "received twice": lambda: Writer().expect(1, 0, 8, 60, SECRET).receive(1).receive(1),
    "too many": lambda: [writer := Writer(), *(writer.expect(i, 0, 8, 60, SECRET) for i in range(257))][0],
    "for a storage that isn't there": lambda: Writer().send(1, SECRET, b"", View(12, "uint8", [4])),
    "with a destination that is too long": lambda: Writer().send(1, SECRET, bytes(70_000), VIEW),
}


@pytest.mark.parametrize("records", MALFORMED.values(), ids=MALFORMED)
def test_malformed_tickets(one: Session, other: Session, records: Callable[[], Writer]) -> None:
    data = records().take()
    one.stream.send(data, 1)
    with pytest.raises(grpc.RpcError) as caught:
        list(one.answers)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert other.works()


def test_memory_that_is_not_to_be_had_is_told(alice: Client) -> None:
    created = alice.create(memory_bytes=SIZE)
    assert created.session.memory_bytes == SIZE
    session = Session.__new__(Session)
    session.client, session.created = alice, created
    session.stream = alice.stream(created)
    session.stream.response()
    session.answers = session.stream.replies()
    session.send(Writer().define_device(0, "cpu", 0), 1)
    session.expect(size=2 * SIZE)
    parcel = session.send(Writer().receive(1), 1)
    reply = next(session.answers)
    assert reply.kind is ErrorKind.RUNTIME
    assert "allocate" in reply.message
    session.send(Writer().drop_parcel(parcel), 1)
    assert session.works()
