"""Which of torch's ops may be called over the wire: what the server's own torch has is looked through."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import grpc
import pytest
import torch

from skytorch_wire import service_pb2
from skytorch_wire.format import Value
from skytorch_wire.graphs import KEPT, Definition, Node, number_value
from skytorch_wire.records import Writer

if TYPE_CHECKING:
    from conftest import Client

#: Reads or writes files, pins memory, prints, or makes tensors that aren't strided, whose indices nobody checks.
_DANGEROUS = re.compile(r"file|save|load|pin_memory|print|record_stream|sparse|nested|mkldnn|coalesce|to_dense")
_NAMES = sorted(name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::"))


def tags(name: str) -> list[torch.Tag]:
    base, _, overload = name.removeprefix("aten::").partition(".")
    return list(getattr(getattr(torch.ops.aten, base), overload or "default").tags)


def execute(client: Client, session_id: str, operation: str, *arguments: service_pb2.Argument) -> None:
    request = service_pb2.ExecuteAtenOperationRequest(session_id=session_id, operation=operation, arguments=arguments)
    client.call(client.torch.ExecuteAtenOperation, request)


def test_there_is_enough_to_look_through() -> None:
    assert len(_NAMES) > 2000
    assert sum(bool(_DANGEROUS.search(name)) for name in _NAMES) > 100


def test_what_does_more_than_compute_is_refused_by_name(alice: Client) -> None:
    session_id = alice.create().session.session_id
    let_through = []
    for name in _NAMES:
        if not _DANGEROUS.search(name) and torch.Tag.inplace_view not in tags(name):
            continue
        with pytest.raises(grpc.RpcError) as caught:
            execute(alice, session_id, name)
        said = str(caught.value.details())
        if "not allowed over the wire" not in said and "which doesn't travel" not in said:
            let_through.append((name, said))
    assert let_through == []


@pytest.mark.parametrize("name", ["prim::Print", "aten::save", "quantized::linear", "c10d::send", "sky::run"])
def test_only_aten_s_ops_are_known(alice: Client, refused, name: str) -> None:
    session_id = alice.create().session.session_id
    with refused(
        grpc.StatusCode.INVALID_ARGUMENT, "is not one of aten's|torch here has no op|is unknown to torch here"
    ):
        execute(alice, session_id, name)


@pytest.mark.parametrize("layout", [1, 2, 3, 5, 99, -1])
def test_only_strided_tensors_are_made(alice: Client, refused, layout: int) -> None:
    session_id = alice.create().session.session_id
    arguments = [
        service_pb2.Argument(integers=service_pb2.IntList(values=[3])),
        service_pb2.Argument(none=True),
        service_pb2.Argument(integer=layout),
    ]
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "isn't strided, which is not allowed over the wire"):
        execute(alice, session_id, "aten::zeros", *arguments)


@pytest.mark.parametrize("layout", [number_value(0), Writer().byte(Value.INT).zigzag(1)], ids=["per run", "constant"])
def test_no_graph_makes_others_either(alice: Client, refused, layout: Writer) -> None:
    size = Writer().byte(Value.INT_LIST).varint(1).zigzag(3)
    graph = Definition(0, 1, [Node("aten::zeros", [size, Writer().byte(Value.NONE), layout], [KEPT])], [0])
    stream = alice.stream(alice.create())
    stream.send(Writer().define_device(0, "cpu", 0).take() + graph.record(1), 2)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "layout of op aten::zeros is no number|isn't strided"):
        list(stream.replies())
