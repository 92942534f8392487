"""Bytes that aren't the message of a call: the client's mistake, told as such."""

from __future__ import annotations

import grpc
import pytest

from skytorch_wire import service_pb2

INVALID = grpc.StatusCode.INVALID_ARGUMENT
METHODS = {
    "unary": "/skytorch.server.Sessions/Get",
    "answered by many": "/skytorch.server.Sessions/Watch",
    "answered by a service of others": "/grpc.health.v1.Health/Watch",
    "relayed": "/skytorch.torch.Service/CopyTensor",
    "of many": "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_what_is_no_message_is_an_invalid_argument(alice, refused, method: str) -> None:
    call = alice.channel.stream_stream(method)
    with refused(INVALID, "not a message of"):
        list(call(iter([b"\xff\xff"]), metadata=alice.metadata, timeout=30))


def test_what_is_no_message_in_the_middle_of_a_call_is_one_too(alice, refused) -> None:
    created = alice.create()
    update = alice.channel.stream_unary("/skytorch.torch.Service/UpdateTensor")
    tensor = service_pb2.TensorRef(storage_id=1, dtype="uint8", sizes=[1])
    first = service_pb2.UpdateTensorRequest(session_id=created.session.session_id, tensor=tensor, data=b"x")
    with refused(INVALID, "not a message of"):
        update(iter([first.SerializeToString(), b"\xff\xff"]), metadata=alice.metadata, timeout=30)
