"""Named objects on the server's disk: written whole or not at all, read as they were written, and bounded."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
from typing import TYPE_CHECKING

import grpc
import pytest
from safetensors import safe_open

from skytorch_wire import sessions_pb2
from skytorch_wire.format import ITEM_BYTES, Record
from skytorch_wire.objects import adopt_records, load_record, objects_record, read_loaded, read_objects, save_record
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Client, Connect, ServerProcess, StartServer, Stream

SYNC = bytes([Record.SYNC])
DTYPES = [dtype for dtype in ITEM_BYTES if dtype not in {"complex32", "complex128"}]


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disk") / "checkpoints"


@pytest.fixture(scope="module")
def keeping(start_server: StartServer, shared_folder: Path) -> Iterator[ServerProcess]:
    """A server that keeps checkpoints, for all tests that don't end it."""
    server = start_server("--checkpoint-dir", str(shared_folder))
    yield server
    server.stop()


@pytest.fixture
def folder(shared_folder: Path) -> Path:
    return shared_folder


@pytest.fixture
def client(keeping: ServerProcess, connect: Connect, shared_folder: Path) -> Iterator[Client]:
    client = connect(keeping.target)
    yield client
    for session in client.list():
        client.close_session(session.session_id)
    shutil.rmtree(shared_folder / "local", ignore_errors=True)


class Session:
    """A session with a stream, and what is asked of it."""

    def __init__(self, client: Client, name: str = "lab") -> None:
        self.client = client
        self.created = client.create(name)
        self.id = self.created.session.session_id
        self.stream: Stream = client.stream(self.created)
        self.stream.response()
        self.replies = self.stream.replies()
        self.stream.send(Writer().define_device(0, "cpu", 0).take(), 1)

    def write(self, view: View, data: bytes) -> None:
        self.stream.send(Writer().ensure(View(view.storage, "uint8", (len(data),)), 0).take(), 1)
        self.stream.send(Writer().write(view.storage, 0, data).take(), 1)

    def save(self, name: str, views: list[View], pickle: bytes = b"pickle") -> None:
        self.stream.send(save_record(name, pickle, views), 1)
        next(self.replies)

    def values(self, name: str, count: int) -> list[bytes]:
        self.stream.send(load_record(name), 1)
        loaded = read_loaded(next(self.replies).data)
        assert len(loaded.storages) == count
        numbers = [1000 + number for number in range(count)]
        for record in adopt_records(loaded, numbers):
            self.stream.send(record, 1)
        values = []
        for number, held in zip(numbers, loaded.storages, strict=True):
            self.stream.send(Writer().read(View(number, "uint8", (held.bytes,))).take(), 1)
            values.append(next(self.replies).data)
        return values

    def objects(self) -> list[str]:
        self.stream.send(objects_record(), 1)
        return [info.name for info in read_objects(next(self.replies).data)]

    def checkpoint(self, name: str, *objects: str) -> sessions_pb2.Checkpoint:
        request = sessions_pb2.WriteCheckpointRequest(session_id=self.id, name=name, objects=objects)
        return self.client.call(self.client.sessions.WriteCheckpoint, request)

    def restore(self, name: str, *objects: str) -> list[str]:
        request = sessions_pb2.RestoreRequest(session_id=self.id, name=name, objects=objects)
        return list(self.client.call(self.client.sessions.Restore, request).objects)


def listed(client: Client) -> list[sessions_pb2.Checkpoint]:
    request = sessions_pb2.ListCheckpointsRequest()
    return list(client.call(client.sessions.ListCheckpoints, request).checkpoints)


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "local").iterdir()}


def test_objects_come_back_in_another_session(client: Client, folder: Path) -> None:
    old = Session(client)
    old.write(View(1, "uint8", (8,)), b"abcdefgh")
    old.write(View(2, "uint8", (3,)), b"xyz")
    old.save("both", [View(1, "uint8", (8,)), View(2, "uint8", (3,))], b"how both belong together")
    old.save("one", [View(1, "float32", (2,))], b"")
    old.save("none", [], b"only a structure")
    written = old.checkpoint("mine")
    assert (written.name, written.session_name, list(written.objects)) == ("mine", "lab", ["both", "none", "one"])
    assert written.bytes == sum(path.stat().st_size for path in (folder / "local").glob("*.safetensors"))
    assert [checkpoint.name for checkpoint in listed(client)] == ["mine"]
    new = Session(client)
    assert new.created.checkpoints == 1
    assert new.restore("mine") == ["both", "none", "one"]
    assert new.values("both", 2) == [b"abcdefgh", b"xyz"]
    # A storage of two objects is one storage again.
    assert client.get(new.id).stats.storage_bytes == 11
    other = Session(client)
    assert other.restore("mine", "one") == ["one"]
    assert other.objects() == ["one"]
    with pytest.raises(grpc.RpcError, match="has no object 'two'"):
        other.restore("mine", "two")


def test_files_are_the_servers_alone_and_open_as_safetensors(client: Client, folder: Path) -> None:
    session = Session(client)
    session.write(View(1, "uint8", (4,)), b"abcd")
    session.save("x", [View(1, "uint8", (4,))])
    session.checkpoint("mine")
    session.checkpoint("mine")
    (data,) = (folder / "local").glob("*.safetensors")
    assert files(folder) == {"mine.json", data.name}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder / "local").iterdir()} == {0o600}
    assert stat.S_IMODE((folder / "local").stat().st_mode) == 0o700
    with safe_open(data, framework="pt") as file:
        assert file.get_tensor("storage.0").tolist() == list(b"abcd")


def test_dtypes_and_layouts_are_kept(client: Client) -> None:
    session = Session(client)
    homes = [View(1, dtype, (3,)) for dtype in DTYPES] + [View(1, "float32", (2, 3), (1, 2)), View(1, "int16", ())]
    homes = [View(number, home.dtype, home.sizes, home.strides) for number, home in enumerate(homes, 1)]
    for number, home in enumerate(homes, 1):
        session.stream.send(Writer().ensure(home, 0).write(number, 0, bytes(range(home.bytes))).take(), 2)
        session.save(f"o{number:02}", [home])
    session.checkpoint("all")
    new = Session(client)
    assert len(new.restore("all")) == len(homes)
    for number, home in enumerate(homes, 1):
        new.stream.send(load_record(f"o{number:02}"), 1)
        loaded = read_loaded(next(new.replies).data)
        (held,) = loaded.storages
        found = held.home
        assert (found.dtype, list(found.sizes), held.bytes) == (home.dtype, list(home.sizes), home.bytes)
        assert home.strides is None or list(found.strides) == list(home.strides)
        new.stream.send(b"".join(adopt_records(loaded, [number])), 2)
        new.stream.send(Writer().read(View(number, "uint8", (home.bytes,))).take(), 1)
        assert next(new.replies).data == bytes(range(home.bytes))


def test_what_safetensors_cannot_hold_is_refused_by_name(client: Client, folder: Path, refused) -> None:
    session = Session(client)
    session.stream.send(Writer().ensure(View(1, "complex128", (2,)), 0).take(), 1)
    session.save("waves", [View(1, "complex128", (2,))])
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "waves has a tensor of dtype complex128"):
        session.checkpoint("mine")
    assert listed(client) == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "n" * 65, "a b", "é", "a\0b"])
def test_names_are_checked(client: Client, refused, name: str) -> None:
    session = Session(client)
    session.save("x", [])
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "can't be a checkpoint's name"):
        session.checkpoint(name)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "can't be a checkpoint's name"):
        session.restore(name)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "can't be a checkpoint's name"):
        client.call(client.sessions.DeleteCheckpoint, sessions_pb2.DeleteCheckpointRequest(name=name))


def test_what_is_not_there_is_told(client: Client, refused) -> None:
    session = Session(client)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "no named objects"):
        session.checkpoint("mine")
    session.save("x", [])
    with refused(grpc.StatusCode.NOT_FOUND, "no object 'y'"):
        session.checkpoint("mine", "y")
    with refused(grpc.StatusCode.NOT_FOUND, "there is no checkpoint 'mine'"):
        session.restore("mine")
    with refused(grpc.StatusCode.NOT_FOUND, "there is no checkpoint 'mine'"):
        client.call(client.sessions.DeleteCheckpoint, sessions_pb2.DeleteCheckpointRequest(name="mine"))
    assert listed(client) == []


@pytest.mark.parametrize("what", ["tensors", "manifest", "shorter", "missing", "another's"])
def test_a_damaged_checkpoint_is_refused(client: Client, folder: Path, refused, what: str) -> None:
    session = Session(client)
    session.write(View(1, "uint8", (1000,)), bytes(1000))
    session.save("x", [View(1, "uint8", (1000,))])
    session.checkpoint("mine")
    (data,) = (folder / "local").glob("*.safetensors")
    manifest = folder / "local" / "mine.json"
    if what == "tensors":
        content = bytearray(data.read_bytes())
        content[-100] ^= 1
        data.write_bytes(content)
    elif what == "shorter":
        os.truncate(data, data.stat().st_size - 1)
    elif what == "missing":
        data.unlink()
    elif what == "manifest":
        manifest.write_bytes(manifest.read_bytes().replace(b'"x"', b'"y"'))
    else:
        content = json.loads(manifest.read_bytes())
        (folder / "local" / "other.json").write_bytes(manifest.read_bytes())
        manifest = folder / "local" / "other.json"
    name = manifest.stem if what == "another's" else "mine"
    code = grpc.StatusCode.INTERNAL if what == "missing" else grpc.StatusCode.DATA_LOSS
    with refused(code, f"checkpoint '{name}'"):
        session.restore(name)
    assert session.objects() == ["x"]
    # Another one may take its place.
    session.checkpoint("mine")
    assert session.restore("mine") == ["x"]


def test_a_full_disk_leaves_the_old_checkpoint(client: Client, folder: Path, refused) -> None:
    session = Session(client)
    session.write(View(1, "uint8", (1000,)), b"o" * 1000)
    session.save("x", [View(1, "uint8", (1000,))])
    session.checkpoint("mine")
    before = files(folder)
    session.write(View(2, "uint8", (1000000,)), b"n" * 1000000)
    session.save("x", [View(2, "uint8", (1000000,))])
    soft, hard = resource.prlimit(session.created.session.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(session.created.session.pid, resource.RLIMIT_FSIZE, (100_000, hard))
    with refused(grpc.StatusCode.INTERNAL, "mine can't be written: .*[Ff]ile too large"):
        session.checkpoint("mine")
    assert files(folder) == before
    assert session.objects() == ["x"]
    resource.prlimit(session.created.session.pid, resource.RLIMIT_FSIZE, (soft, hard))
    new = Session(client)
    new.restore("mine")
    assert new.values("x", 1) == [b"o" * 1000]
    session.checkpoint("mine")
    assert len(files(folder)) == 2


def test_what_a_principal_keeps_is_bounded(
    start_server: StartServer, tmp_path: Path, connect: Connect, refused
) -> None:
    server = start_server(
        "--max-checkpoints", "2", "--max-checkpoint-bytes", "3000", SKYTORCH_CHECKPOINT_DIR=str(tmp_path)
    )
    client = connect(server.target)
    session = Session(client)
    session.write(View(1, "uint8", (1000,)), bytes(1000))
    session.save("x", [View(1, "uint8", (1000,))])
    session.save("small", [])
    session.checkpoint("one")
    session.checkpoint("two", "small")
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "2 checkpoints, which is the limit.*--max-checkpoints"):
        session.checkpoint("three", "small")
    session.checkpoint("one")
    client.call(client.sessions.DeleteCheckpoint, sessions_pb2.DeleteCheckpointRequest(name="two"))
    session.write(View(2, "uint8", (2000,)), bytes(2000))
    session.save("large", [View(2, "uint8", (2000,))])
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "two would take .* are left to you.*--max-checkpoint-bytes"):
        session.checkpoint("two", "large")
    assert [checkpoint.name for checkpoint in listed(client)] == ["one"]


def test_checkpoints_are_their_principals(start_server: StartServer, connect: Connect, refused, tmp_path: Path) -> None:
    folder, tokens = tmp_path / "checkpoints", tmp_path / "tokens"
    tokens.write_text("alice:a\n../bob:b\n")
    tokens.chmod(0o600)
    server = start_server("--checkpoint-dir", str(folder), "--token-file", str(tokens))
    alice, bob = connect(server.target, "a"), connect(server.target, "b")
    session = Session(alice)
    session.save("x", [])
    session.checkpoint("mine")
    assert listed(bob) == []
    other = Session(bob)
    with refused(grpc.StatusCode.NOT_FOUND, "no checkpoint 'mine'"):
        other.restore("mine")
    other.save("y", [])
    other.checkpoint("mine")
    assert [list(checkpoint.objects) for checkpoint in listed(alice)] == [["x"]]
    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "alice"
    assert names[1].startswith("~")
    assert {path.name for path in tmp_path.iterdir()} == {"tokens", "checkpoints"}


def test_a_server_without_a_folder_keeps_none(alice: Client, refused) -> None:
    session = Session(alice)
    assert session.created.checkpoints == 0
    with refused(grpc.StatusCode.UNIMPLEMENTED, "--checkpoint-dir"):
        session.checkpoint("mine")
    with refused(grpc.StatusCode.UNIMPLEMENTED, "--checkpoint-dir"):
        session.restore("mine")
    with refused(grpc.StatusCode.UNIMPLEMENTED, "--checkpoint-dir"):
        listed(alice)


def test_a_folder_that_cannot_be_had_ends_the_server_at_once(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server = start_server("--checkpoint-dir", str(tmp_path / "file"))
    assert server.process.wait(30) == 1
    server.wait_for_log("skytorch-server: .*file")


def test_a_server_that_stops_writes_what_has_a_name(
    start_server: StartServer, tmp_path: Path, connect: Connect
) -> None:
    folder = tmp_path / "kept"
    server = start_server("--checkpoint-dir", str(folder))
    client = connect(server.target)
    session, twin, empty = Session(client, "lab"), Session(client, "lab"), Session(client, "empty")
    odd = Session(client, "a name / that no file has")
    for one in (session, twin, odd):
        one.write(View(1, "uint8", (4,)), one.id[:4].encode())
        one.save("x", [View(1, "uint8", (4,))])
    assert server.stop() == 0
    (folder / "local" / ".left.tmp").write_bytes(b"half")
    (folder / "local" / "gone.0123456789abcdef.safetensors").write_bytes(b"of no checkpoint")
    again = start_server("--checkpoint-dir", str(folder))
    client = connect(again.target)
    new = Session(client)
    assert new.created.checkpoints == 3
    names = {checkpoint.name for checkpoint in listed(client)}
    assert names == {f"stopped-lab-{session.id[:8]}", f"stopped-lab-{twin.id[:8]}", f"stopped-{odd.id}"}
    assert len(files(folder)) == 6
    new.restore(f"stopped-lab-{twin.id[:8]}")
    assert new.values("x", 1) == [twin.id[:4].encode()]
    assert empty.id
