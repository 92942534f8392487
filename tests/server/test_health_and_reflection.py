"""What a stranger with standard tools finds out about a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

if TYPE_CHECKING:
    from conftest import Client, Connect, ServerProcess

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    "service", ["", "skytorch.torch.Service", "skytorch.server.Metrics", "skytorch.server.Sessions"]
)
def test_a_probe_without_a_token_sees_that_each_service_serves(
    server: ServerProcess, connect: Connect, service: str
) -> None:
    request = health_pb2.HealthCheckRequest(service=service)
    assert connect(server.target).health.Check(request, timeout=10).status == SERVING


def test_an_unknown_service_has_no_health(alice: Client, refused) -> None:
    with refused(grpc.StatusCode.NOT_FOUND):
        alice.call(alice.health.Check, health_pb2.HealthCheckRequest(service="skytorch.Nothing"))


def ask(client: Client, **question: str) -> reflection_pb2.ServerReflectionResponse:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    request = reflection_pb2.ServerReflectionRequest(**question)
    return next(stub.ServerReflectionInfo(iter([request]), metadata=client.metadata, timeout=10))


def test_reflection_lists_every_service(alice: Client) -> None:
    answer = ask(alice, list_services="")
    assert {service.name for service in answer.list_services_response.service} >= {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "skytorch.server.Metrics",
        "skytorch.server.Sessions",
        "skytorch.torch.Service",
    }


def test_reflection_describes_the_methods_that_are_relayed(alice: Client) -> None:
    answer = ask(alice, file_containing_symbol="skytorch.torch.Service")
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(f) for f in answer.file_descriptor_response.file_descriptor_proto
    ]
    methods = {method.name for file in files for service in file.service for method in service.method}
    assert methods >= {"StreamOperations", "ExecuteAtenOperation", "GetTensor"}


def test_an_unknown_method_is_unimplemented(alice: Client, refused) -> None:
    nothing = alice.channel.unary_unary("/skytorch.torch.Service/Nothing")
    with refused(grpc.StatusCode.UNIMPLEMENTED):
        nothing(b"", metadata=alice.metadata, timeout=10)
