"""A session passes from one kernel to the next: a new secret, a new log, and only what has a name stays."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import PROTOCOL_VERSION, service_pb2, sessions_pb2, sessions_pb2_grpc
from skytorch_wire.format import Record, Value
from skytorch_wire.objects import (
    MAX_OBJECTS,
    adopt_records,
    forget_record,
    load_record,
    objects_record,
    read_keys,
    read_loaded,
    read_objects,
    save_record,
)
from skytorch_wire.records import View, Writer
from skytorch_wire.replies import DataReply

if TYPE_CHECKING:
    from conftest import Client, Connect

SYNC = bytes([Record.SYNC])
CAPABILITIES = service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION)


def take_over(client: Client, session_id: str, **fields) -> sessions_pb2.CreateSessionResponse:
    request = sessions_pb2.TakeOverRequest(session_id=session_id, capabilities=CAPABILITIES, **fields)
    return client.call(client.sessions.TakeOver, request)


@pytest.fixture(params=["grpc", "local"])
def client(alice: Client, request) -> Client:
    alice.local = request.param == "local"
    return alice


@pytest.fixture
def near(alice: Client) -> Client:
    """A client whose stream is not relayed."""
    alice.local = True
    return alice


def test_the_next_kernel_gets_the_session_and_the_last_one_is_told(client: Client, refused) -> None:
    created = client.create("lab", labels={"kernel_id": "old", "notebook": "a.ipynb"})
    old = client.stream(created, epoch=7)
    assert old.response().attached.epoch == 7
    taken = take_over(client, created.session.session_id, name="mine", labels={"kernel_id": "new"})
    assert taken.session.session_id == created.session.session_id
    assert taken.session.pid == created.session.pid
    assert taken.boot_id == created.boot_id
    assert [endpoint.address for endpoint in taken.endpoints] == [endpoint.address for endpoint in created.endpoints]
    assert list(taken.devices) == list(created.devices)
    assert taken.attach_secret != created.attach_secret
    session = client.get(created.session.session_id)
    assert (session.name, dict(session.labels)) == ("mine", {"kernel_id": "new"})
    with refused(grpc.StatusCode.ABORTED, "another kernel has taken over this session"):
        old.response()
    with refused(grpc.StatusCode.ABORTED, "another kernel has taken over this session"):
        client.stream(created, epoch=8).response()
    with refused(grpc.StatusCode.PERMISSION_DENIED, "secret"):
        client.stream(created, epoch=8, attach_secret=b"neither").response()
    new = client.stream(taken, epoch=1, begin=True)
    assert new.response().attached.executed == 0


def test_the_log_begins_anew_without_what_has_no_name(client: Client, refused) -> None:
    created = client.create()
    old = client.stream(created)
    old.response()
    old.send(Writer().define_device(0, "cpu", 0).ensure(View(1, "float32", (3,)), 0).take() + SYNC, 3)
    next(old.replies())
    assert client.get(created.session.session_id).stats.storages == 1
    taken = take_over(client, created.session.session_id)
    new = client.stream(taken, begin=True)
    assert new.response().attached.executed == 0
    stats = client.get(created.session.session_id).stats
    assert (stats.storages, stats.storage_bytes, stats.executed) == (0, 0, 0)
    # The slot may be another device's, the number another storage's, and the records are counted from 1.
    new.send(Writer().define_device(0, "cpu", 0).ensure(View(1, "int32", (1,)), 0).take() + SYNC, 3)
    next(new.replies())
    assert client.get(created.session.session_id).stats.executed == 3


def test_what_has_a_name_stays_with_what_was_written_last(client: Client) -> None:
    created = client.create()
    old = client.stream(created)
    old.response()
    view = View(5, "int8", (4,))
    records = Writer().define_device(0, "cpu", 0).ensure(view, 0).ensure(View(6, "int8", (100,)), 0).take()
    old.send(records + save_record("w", b"what it is", [view]) + Writer().write(5, 0, b"last").take() + SYNC, 6)
    replies = old.replies()
    assert len(read_keys(next(replies).data)) == 1
    next(replies)
    taken = take_over(client, created.session.session_id)
    new = client.stream(taken, begin=True)
    assert new.response().attached.executed == 0
    stats = client.get(created.session.session_id).stats
    assert (stats.storages, stats.storage_bytes) == (0, 4)
    new.send(load_record("w") + objects_record(), 2)
    replies = new.replies()
    loaded = read_loaded(next(replies).data)
    assert loaded is not None
    assert loaded.pickle == b"what it is"
    (held,) = loaded.storages
    assert (held.device, held.bytes, list(held.home.sizes), held.home.dtype) == (("cpu", 0), 4, [4], "int8")
    (info,) = read_objects(next(replies).data)
    assert (info.name, info.storages, info.storage_bytes, info.pickle_bytes) == ("w", 1, 4, 10)
    new.send(b"".join(adopt_records(loaded, [9])) + Writer().read(View(9, "int8", (4,))).take(), 3)
    assert next(replies).data == b"last"


def test_a_session_is_taken_over_by_its_principal_alone(alice: Client, bob: Client, refused) -> None:
    session_id = alice.create().session.session_id
    for missing in (session_id, "0123456789abcdef"):
        with refused(grpc.StatusCode.NOT_FOUND, f"there is no session '{missing}' here"):
            take_over(bob, missing)
    alice.close_session(session_id)
    with refused(grpc.StatusCode.NOT_FOUND, "has ended: closed by its owner"):
        take_over(alice, session_id)


def test_a_takeover_is_checked_as_a_creation(alice: Client, refused) -> None:
    session_id = alice.create().session.session_id
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        take_over(alice, session_id, name="n" * 257)
    request = sessions_pb2.TakeOverRequest(
        session_id=session_id, capabilities=service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION + 1)
    )
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "protocol version"):
        alice.call(alice.sessions.TakeOver, request)


def test_a_kernel_that_ends_without_named_objects_closes_its_session(alice: Client) -> None:
    session_id = alice.create().session.session_id
    request = sessions_pb2.CloseSessionRequest(session_id=session_id, keep_named=True)
    assert not alice.call(alice.sessions.Close, request).kept
    assert alice.list() == []


SETUP = Writer().define_device(0, "cpu", 0).ensure(View(1, "int8", (4,)), 0).take()


@pytest.mark.parametrize(
    ("records", "count", "words"),
    [
        (save_record("", b"", []), 1, "an object's name is empty"),
        (save_record("n" * 257, b"", []), 1, "a text's length is 257"),
        (save_record("x", b"", [View(2, "int8", (4,))]), 1, "storage 2 is not in this session"),
        (save_record("x", b"", [View(1, "int8", (5,))]), 1, "past the end"),
        (bytes([Record.SAVE, 1, ord("x"), 0, 1, Value.NONE]), 1, "a tensor was expected"),
        (bytes([Record.SAVE, 1, ord("x"), 0, 1, Value.HOST_TENSOR, 1, 0, 0, 1, 5]), 1, "holds tensors of the session"),
        (bytes([Record.SAVE, 1, ord("x"), 100]), 1, "longer than its frame"),
        (Writer().adopt(77, 0, View(5, "int8", (4,))).take(), 1, "there is no parcel 77"),
        (Writer().drop_parcel(77).take(), 1, "there is no parcel 77"),
        (load_record("w") + Writer().adopt(4, 1, View(5, "int8", (4,))).take(), 2, "nothing in slot 1"),
        (load_record("w") + Writer().adopt(4, 0, View(1, "int8", (4,))).take(), 2, "storage 1 exists already"),
        (load_record("w") + Writer().adopt(4, 0, View(5, "int8", (2,))).take(), 2, "keeps its home"),
        (load_record("w") + Writer().adopt(4, 0, View(5, "int8", (9,))).take(), 2, "past the end"),
    ],
)
def test_malformed_records_cost_their_sender_alone(near: Client, refused, records, count, words) -> None:
    created = near.create()
    stream = near.stream(created)
    stream.response()
    stream.send(SETUP + save_record("w", b"", [View(1, "int8", (4,))]), 3)
    stream.send(records, count)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, words):
        for _ in stream.replies():
            pass
    again = near.stream(take_over(near, created.session.session_id), begin=True)
    again.response()
    again.send(objects_record(), 1)
    (info,) = read_objects(next(again.replies()).data)
    assert (info.name, info.storage_bytes) == ("w", 4)
    assert near.get(created.session.session_id).stats.storage_bytes == 4


def test_parcels_that_nobody_adopts_are_bounded(near: Client, refused) -> None:
    stream = near.stream(near.create())
    stream.response()
    stream.send(SETUP + save_record("w", b"", [View(1, "int8", (4,))]) + load_record("w") * 256, 259)
    replies = stream.replies()
    assert len(list(islice(replies, 257))) == 257
    stream.send(load_record("w"), 1)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "too many parcels"):
        next(replies)


def test_a_session_holds_so_many_objects(near: Client) -> None:
    created = near.create()
    stream = near.stream(created)
    stream.response()
    stream.send(b"".join(save_record(f"{number}", b"", []) for number in range(MAX_OBJECTS + 1)), MAX_OBJECTS + 1)
    *kept, last = islice(stream.replies(), MAX_OBJECTS + 1)
    assert all(isinstance(reply, DataReply) for reply in kept)
    assert "1024 named objects at most" in last.message
    stream.send(save_record("7", b"replaced", []) + forget_record("8") + forget_record("8"), 3)
    _, found, missing = islice(stream.replies(), 3)
    assert (found.data, missing.data) == (b"\1", b"\0")


def test_only_the_front_replaces_a_secret(alice: Client, connect: Connect, refused) -> None:
    created = alice.create()
    worker = sessions_pb2_grpc.WorkerStub(connect(created.endpoints[0].address).channel)
    request = sessions_pb2.ReplaceSecretRequest(attach_secret=b"a guess", new_secret=b"mine")
    with refused(grpc.StatusCode.PERMISSION_DENIED, "secret"):
        worker.ReplaceSecret(request, timeout=30)
    alice.stream(created).response()
