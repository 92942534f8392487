"""The unary calls: a session without a stream, as grpcurl sees it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import service_pb2
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Client

INVALID = grpc.StatusCode.INVALID_ARGUMENT
Argument = service_pb2.Argument


def tensor(storage: int, *sizes: int, dtype: str = "float32", **fields) -> service_pb2.TensorRef:
    return service_pb2.TensorRef(storage_id=storage, dtype=dtype, sizes=sizes, **fields)


class Session:
    """The unary calls of one session; no id means the principal's default one."""

    def __init__(self, client: Client, session_id: str = "") -> None:
        self.client = client
        self.session_id = session_id

    def update(self, ref: service_pb2.TensorRef, data: bytes, chunk: int = 1 << 20, **fields) -> int:
        starts = range(0, max(len(data), 1), chunk)
        requests = [service_pb2.UpdateTensorRequest(byte_offset=n, data=data[n : n + chunk]) for n in starts]
        requests[0].MergeFrom(service_pb2.UpdateTensorRequest(session_id=self.session_id, tensor=ref, **fields))
        return self.client.call(self.client.torch.UpdateTensor, iter(requests)).bytes_written

    def get(self, ref: service_pb2.TensorRef, **fields) -> bytes:
        request = service_pb2.GetTensorRequest(session_id=self.session_id, tensor=ref, **fields)
        data = b""
        for response in self.client.call(self.client.torch.GetTensor, request):
            assert response.byte_offset == len(data)
            data += response.data
            total = response.total_bytes
        assert total == len(data)
        return data

    def floats(self, ref: service_pb2.TensorRef, **fields) -> list[float]:
        data = self.get(ref, **fields)
        return list(struct.unpack(f"<{len(data) // 4}f", data))

    def copy(self, source: service_pb2.TensorRef, destination: service_pb2.TensorRef) -> None:
        request = service_pb2.CopyTensorRequest(session_id=self.session_id, source=source, destination=destination)
        self.client.call(self.client.torch.CopyTensor, request)

    def delete(self, *storages: int) -> int:
        request = service_pb2.DeleteTensorsRequest(session_id=self.session_id, storage_ids=storages)
        return self.client.call(self.client.torch.DeleteTensors, request).deleted

    def execute(self, operation: str, *arguments: Argument, outputs: Sequence[int] = ()) -> list[service_pb2.TensorRef]:
        request = service_pb2.ExecuteAtenOperationRequest(
            session_id=self.session_id, operation=operation, arguments=arguments, outputs=outputs
        )
        return list(self.client.call(self.client.torch.ExecuteAtenOperation, request).outputs)


@pytest.fixture
def session(alice: Client) -> Session:
    return Session(alice, alice.create().session.session_id)


def ones(count: int) -> bytes:
    return struct.pack(f"<{count}f", *[1.0] * count)


def test_a_tensor_is_written_and_read_in_chunks(session: Session) -> None:
    data = bytes(range(256)) * (10 << 10)
    ref = tensor(1, len(data), dtype="uint8")
    assert session.update(ref, data, chunk=100_000, device="cpu") == len(data)
    assert session.get(ref) == data


def test_a_view_is_read_in_its_own_order(session: Session) -> None:
    session.update(tensor(1, 2, 3), struct.pack("<6f", *range(6)))
    assert session.floats(tensor(1, 3, 2, strides=[1, 3])) == [0, 3, 1, 4, 2, 5]
    assert session.floats(tensor(1, 2, offset=4)) == [4, 5]


def test_an_op_is_executed_on_tensors_of_the_session(session: Session) -> None:
    session.update(tensor(1, 2, 2), ones(4))
    [output] = session.execute(
        "aten::add.Tensor",
        Argument(tensor=tensor(1, 2, 2)),
        Argument(tensor=tensor(1, 2, 2)),
        Argument(real=2.5),
        outputs=[2],
    )
    assert (output.storage_id, output.dtype, list(output.sizes)) == (2, "float32", [2, 2])
    assert session.floats(output) == [3.5] * 4
    session.execute("aten::mul_.Scalar", Argument(tensor=output), Argument(integer=2))
    assert session.floats(output) == [7.0] * 4


def test_every_kind_of_argument_travels(session: Session) -> None:
    session.update(tensor(1, 4), struct.pack("<4f", 4, 3, 2, 1))
    session.update(tensor(2, 2, dtype="int64"), struct.pack("<2q", 3, 0))
    refs = service_pb2.TensorList(tensors=[tensor(1, 4), tensor(1, 4)])
    [stacked] = session.execute("aten::stack", Argument(tensors=refs), outputs=[10])
    assert list(stacked.sizes) == [2, 4]
    optional = service_pb2.TensorList(tensors=[service_pb2.TensorRef(), tensor(2, 2, dtype="int64")])
    [indexed] = session.execute(
        "aten::index.Tensor", Argument(tensor=stacked), Argument(tensors=optional), outputs=[11]
    )
    assert session.floats(indexed) == [1, 4, 1, 4]
    values, indices = session.execute("aten::sort", Argument(tensor=tensor(1, 4)), outputs=[12, 13])
    assert (session.floats(values), indices.dtype) == ([1, 2, 3, 4], "int64")
    sums = service_pb2.IntList(values=[1])
    [total] = session.execute(
        "aten::sum.dim_IntList",
        Argument(tensor=stacked),
        Argument(integers=sums),
        Argument(boolean=True),
        Argument(dtype="float64"),
        outputs=[14],
    )
    assert (total.dtype, list(total.sizes)) == ("float64", [2, 1])
    [full] = session.execute(
        "aten::full",
        Argument(integers=service_pb2.IntList(values=[2])),
        Argument(real=0.5),
        Argument(dtype="float32"),
        Argument(none=True),
        Argument(device="cpu"),
        outputs=[15],
    )
    assert session.floats(full) == [0.5, 0.5]
    [divided] = session.execute(
        "aten::div.Tensor_mode",
        Argument(tensor=full),
        Argument(tensor=tensor(1, 2)),
        Argument(text="floor"),
        outputs=[16],
    )
    assert session.floats(divided) == [0, 0]


def test_a_list_of_numbers_is_what_the_op_says(session: Session, refused) -> None:
    session.update(tensor(1, 2), ones(2))
    refs = service_pb2.TensorList(tensors=[tensor(1, 1), tensor(1, 1, offset=1)])
    numbers = service_pb2.IntList(values=[1, 2])
    session.execute("aten::_foreach_add_.ScalarList", Argument(tensors=refs), Argument(integers=numbers))
    assert session.floats(tensor(1, 2)) == [2, 3]
    with refused(INVALID, "returns a list of tensors"):
        session.execute("aten::unbind.int", Argument(tensor=tensor(1, 2)), outputs=[7])


def test_a_copy_converts_and_a_deleted_tensor_is_gone(session: Session, refused) -> None:
    session.update(tensor(1, 2), ones(2))
    session.update(tensor(2, 2, dtype="int32"), bytes(8))
    session.copy(tensor(1, 2), tensor(2, 2, dtype="int32"))
    assert session.get(tensor(2, 2, dtype="int32")) == struct.pack("<2i", 1, 1)
    assert session.delete(1, 2) == 2
    with refused(INVALID, "storage 1 is not in this session"):
        session.get(tensor(1, 2))


def test_a_failed_op_is_an_error_by_name_and_poisons_what_it_should_have_written(session: Session, refused) -> None:
    session.update(tensor(1, 2, 3), ones(6))
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "aten::mm: .*cannot be multiplied"):
        session.execute("aten::mm", Argument(tensor=tensor(1, 2, 3)), Argument(tensor=tensor(1, 2, 3)), outputs=[5])
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "aten::mm"):
        session.get(tensor(5, 0))
    assert session.floats(tensor(1, 6)) == [1.0] * 6


def test_a_result_that_cannot_be_kept_is_an_error_of_the_op(session: Session, refused) -> None:
    session.update(tensor(1, 3), ones(3))
    quantized = (Argument(tensor=tensor(1, 3)), Argument(real=1.0), Argument(integer=0), Argument(integer=13))
    with refused(grpc.StatusCode.UNIMPLEMENTED, "aten::quantize_per_tensor .*can't hold"):
        session.execute("aten::quantize_per_tensor", *quantized, outputs=[5])
    with refused(grpc.StatusCode.UNIMPLEMENTED, "aten::quantize_per_tensor"):
        session.get(tensor(5, 0))
    assert session.floats(tensor(1, 3)) == [1.0] * 3


@pytest.mark.parametrize(
    ("ref", "complaint"),
    [
        (tensor(1, 2, dtype="float31"), "no dtype is called 'float31'"),
        (tensor(1, -1), "not negative"),
        (tensor(1, 2, strides=[1, 1]), "1 sizes and 2 strides"),
        (tensor(1, *[1] * 64), "at most 63 dimensions"),
        (tensor(1, 1 << 40, 1 << 40), "overflows"),
        (tensor(1, 2, offset=-1), "not negative"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(
    session: Session, refused, ref: service_pb2.TensorRef, complaint: str
) -> None:
    with refused(INVALID, complaint):
        session.get(ref)
    with refused(INVALID, complaint):
        session.update(ref, b"")


@pytest.mark.parametrize(
    ("operation", "complaint"),
    [
        ("aten::no_such_op", "no op 'aten::no_such_op'"),
        ("aten::add.NoOverload", "no op 'aten::add.NoOverload'"),
        ("aten::from_file", "lacks|not allowed"),
        ("prim::device", "not one of aten's"),
        ("", "no op ''"),
    ],
)
def test_an_op_that_is_not_served_is_refused(session: Session, refused, operation: str, complaint: str) -> None:
    with refused(INVALID, complaint):
        session.execute(operation)


def test_a_device_that_is_not_there_is_refused(session: Session, refused) -> None:
    for device in ("cuda:99", "cuda:63", "mps", "cpu:1", "cuda:x"):
        with refused(INVALID):
            session.update(tensor(1, 1), ones(1), device=device)


def test_writing_past_the_end_is_refused(session: Session, refused) -> None:
    with refused(INVALID, "past the end"):
        session.update(tensor(1, 1), ones(2))
    with refused(INVALID):
        session.update(tensor(1, 1), ones(1), byte_offset=(1 << 64) - 8)


def test_a_call_waits_for_the_record_that_it_comes_after(alice: Client) -> None:
    created = alice.create()
    session = Session(alice, created.session.session_id)
    stream = alice.stream(created)
    stream.response()
    request = service_pb2.GetTensorRequest(
        session_id=session.session_id, tensor=tensor(1, 2, dtype="uint8"), after_sequence=3
    )
    answer = alice.torch.GetTensor(request, metadata=alice.metadata, timeout=60)
    stream.send(Writer().define_device(0, "cpu", 0).ensure(View(1, "uint8", [2]), 0).write(1, 0, b"ok").take(), 3)
    assert next(answer).data == b"ok"


def test_calls_without_a_session_share_the_principals_default_one(alice: Client, bob: Client, refused) -> None:
    Session(alice).update(tensor(1, 2), ones(2))
    [default] = alice.list()
    assert default.name == "default"
    assert Session(alice).floats(tensor(1, 2)) == [1, 1]
    assert Session(alice, default.session_id).floats(tensor(1, 2)) == [1, 1]
    with refused(INVALID, "storage 1"):
        Session(bob).get(tensor(1, 2))
    assert [session.session_id for session in alice.list()] == [default.session_id]


def test_the_default_session_takes_a_stream_too(alice: Client) -> None:
    first = service_pb2.StreamRequest(
        attach=service_pb2.Attach(epoch=1, capabilities=service_pb2.Capabilities(protocol_version=1))
    )
    records = Writer().define_device(0, "cpu", 0).ensure(View(3, "uint8", [1]), 0).write(3, 0, b"x").take()
    requests = [first, service_pb2.StreamRequest(first_sequence=1, records=records)]
    responses = list(alice.torch.StreamOperations(iter(requests), metadata=alice.metadata, timeout=60))
    assert responses[0].attached.executed == 0
    assert responses[-1].executed == 3
    assert Session(alice).get(tensor(3, 1, dtype="uint8")) == b"x"


def test_the_default_session_lives_while_a_call_uses_it(start_server, connect) -> None:
    server = start_server("--idle-timeout", "1")
    client = connect(server.target)
    Session(client).update(tensor(1, 1), ones(1))
    [default] = client.list()
    # Waits for a record that never comes, for longer than the lease.
    request = service_pb2.GetTensorRequest(tensor=tensor(1, 1), after_sequence=10)
    with pytest.raises(grpc.RpcError) as caught:
        list(client.torch.GetTensor(request, timeout=2.5))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert client.get(default.session_id).reason == ""
    assert server.stop() == 0
