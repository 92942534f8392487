"""A server inside somebody's own asyncio program."""

from __future__ import annotations

import subprocess
import sys

import pytest
from grpc_health.v1 import health_pb2

PROGRAM = """
import asyncio, os, sys
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from skytorch_server import Server, serve
from skytorch_wire import PROTOCOL_VERSION, service_pb2, sessions_pb2, sessions_pb2_grpc

async def main():
    server = Server(metrics_sources=["host"])
    task = asyncio.create_task(serve(server, host="127.0.0.1", port=0, chunk_size=65536))
    listening = await server.listening()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{listening.port}") as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        capabilities = service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION)
        create = sessions_pb2_grpc.SessionsStub(channel).Create
        created = await create(sessions_pb2.CreateSessionRequest(capabilities=capabilities), timeout=60)
    server.stop()
    await task
    print(health.status, created.capabilities.chunk_bytes, listening.addresses == [f"127.0.0.1:{listening.port}"])
    print("torch" in sys.modules, os.environ.get("TORCH_DEVICE_BACKEND_AUTOLOAD"))

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_serve_runs_until_it_is_stopped(tmp_path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    # The front never imports torch, and leaves the environment of its program as it is.
    assert run.stdout.splitlines() == [f"{health_pb2.HealthCheckResponse.SERVING} 65536 True", "False None"]


async def test_a_server_that_cannot_listen_raises() -> None:
    from skytorch_server import Server, serve
    from skytorch_server.front.listening import ListenError

    with pytest.raises(ListenError, match="can't listen on"):
        await serve(server := Server(insecure=True), host="192.0.2.1")
    with pytest.raises(ListenError, match="can't listen on"):
        await server.listening()
    with pytest.raises(ValueError, match="chunk size"):
        await serve(Server(), port=0, chunk_size=1)
