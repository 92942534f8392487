"""Where a server listens, who can come in, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2

from skytorch_wire.features import FUNCTIONS

if TYPE_CHECKING:
    from conftest import Client, Connect, ServerProcess, StartServer

    from tests.certificates import Certificates


def other_address() -> str | None:
    """An address of this machine that isn't loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address


def accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


def port_of(server: ServerProcess) -> int:
    return int(server.target.rpartition(":")[2])


def healthy(client: Client) -> bool:
    status = client.health.Check(health_pb2.HealthCheckRequest(), timeout=10).status
    return status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("host", ["[::]", "0.0.0.0", "192.0.2.7", "gpu.example"])  # noqa: S104
def test_without_a_token_it_listens_on_loopback_whatever_the_host(
    start_server: StartServer, connect: Connect, host: str
) -> None:
    server = start_server("--host", host)
    server.wait_for_log("WARNING .*on loopback only.*--token-file.*--insecure")
    port = port_of(server)
    assert healthy(connect(f"127.0.0.1:{port}"))
    address = other_address()
    if address is not None:
        assert not accepts(address, port)
    if socket.has_ipv6 and "[::1]" in server.wait_for_log("listens on (.*)")[1]:
        assert healthy(connect(f"[::1]:{port}"))
    assert server.stop() == 0


@pytest.mark.parametrize("permission", ["--insecure", "--token-file", "--tls-client-ca"])
def test_other_machines_come_in_where_that_is_safe_or_was_said(
    start_server: StartServer, permission: str, tmp_path: Path, certificates: Certificates
) -> None:
    address = other_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    tokens.chmod(0o600)
    tls = ("--tls-cert", str(certificates.issue("server.pem")))
    arguments = {
        "--insecure": (),
        "--token-file": (str(tokens), *tls),
        "--tls-client-ca": (str(certificates.ca), *tls),
    }[permission]
    server = start_server("--host", "0.0.0.0", permission, *arguments)  # noqa: S104
    assert accepts(address, port_of(server))
    if permission == "--insecure":
        for lack in ("could use this server", "would travel readable"):
            assert any("listening on 0.0.0.0 although" in line and lack in line for line in server.log)
    else:
        assert not any("although" in line for line in server.log)
    assert server.stop() == 0


@pytest.mark.parametrize("lacking", ["--tls-cert", "--token-file"])
def test_either_alone_is_not_enough(
    start_server: StartServer, lacking: str, tmp_path: Path, certificates: Certificates
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    tokens.chmod(0o600)
    given = (
        ("--token-file", str(tokens)) if lacking == "--tls-cert" else ("--tls-cert", str(certificates.issue("s.pem")))
    )
    server = start_server("--host", "0.0.0.0", *given)  # noqa: S104
    server.wait_for_log(rf"WARNING .*on loopback only, not on 0.0.0.0: [^(]*\({lacking}\)\. Give it")
    address = other_address()
    assert address is None or not accepts(address, port_of(server))
    assert server.stop() == 0


def test_a_taken_port_is_one_line(start_server: StartServer) -> None:
    first = start_server()
    second = start_server("--port", str(port_of(first)), "--host", "127.0.0.1")
    second.wait_for_log("^skytorch-server: can't listen on 127.0.0.1:[0-9]+: is the port taken")
    assert second.process.wait(20) == 1
    assert first.stop() == 0


def test_a_unix_socket_is_in_a_folder_of_its_own_and_goes_with_the_server(
    start_server: StartServer, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "run" / "s"
    server = start_server("--unix-socket", str(path))
    server.wait_for_log("listens on unix:")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    client = connect(f"unix:{path}")
    assert healthy(client)
    client.create()

    second = start_server("--unix-socket", str(path))
    second.wait_for_log("^skytorch-server: a server listens on .* already")
    assert second.process.wait(20) == 1
    assert healthy(client)

    assert server.stop() == 0
    assert not path.exists()
    assert server.process.stdout is not None


def test_a_socket_left_by_a_killed_server_is_taken_over(
    start_server: StartServer, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "run" / "s"
    killed = start_server("--unix-socket", str(path))
    killed.wait_for_log("listens on unix:")
    os.kill(killed.pid, signal.SIGKILL)
    killed.process.wait(20)
    assert path.exists()
    server = start_server("--unix-socket", str(path))
    server.wait_for_log("listens on unix:")
    assert healthy(connect(f"unix:{path}"))
    assert server.stop() == 0


def test_a_socket_where_others_can_come_in_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    server = start_server("--unix-socket", str(folder / "s"))
    server.wait_for_log("^skytorch-server: others can enter .*: a server's socket needs a folder of its own")
    assert server.process.wait(20) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_server_leaves_nothing(start_server: StartServer, connect: Connect, until, number: int) -> None:
    server = start_server()
    client = connect(server.target)
    created = client.create()
    stream = client.stream(created)
    stream.response()
    children = server.children()
    os.kill(server.pid, number)
    assert server.process.wait(10) == 0
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "its processes are gone")
    assert not Path(created.endpoints[0].nonce_path).parent.parent.exists()


def test_an_idle_server_ends_by_itself(start_server: StartServer, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "run" / "s"
    server = start_server("--unix-socket", str(path), "--exit-when-idle", "1.5")
    server.wait_for_log("listens on unix:")
    client = connect(f"unix:{path}")
    created = client.create(lease_seconds=4)
    # The session outlives the idle time; when its lease is over, so is the server's.
    server.wait_for_log(f"session {created.session.session_id} .*ended: no heartbeat for 4 s")
    server.wait_for_log("no session for 1.5 s: the server ends")
    assert server.process.wait(20) == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "99999"], "argument --port: '99999' is not a port"),
        (["--port", "http"], "argument --port: 'http' is not a whole number"),
        (["--chunk-size", "1"], "argument --chunk-size: a chunk has from 4096"),
        (["--metrics-sources", "hosts"], "argument --metrics-sources: .*did you mean 'host'"),
        (["--log-level", "loud"], "argument --log-level: 'loud' is none of DEBUG, INFO"),
        (["--max-sessions", "0"], "argument --max-sessions: '0' is not a positive number"),
        (["--idle-timeout", "-1"], "argument --idle-timeout: '-1' is not a time"),
        (["--exit-when-idle", "nan"], "argument --exit-when-idle: 'nan' is not a time"),
    ],
)
def test_a_wrong_option_is_one_line(start_server: StartServer, arguments: list[str], complaint: str) -> None:
    server = start_server(*arguments)
    server.wait_for_log(complaint)
    assert server.process.wait(20) == 2


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"SKYTORCH_PORT": "http"}, "argument --port: 'http' is not a whole number"),
        ({"SKYTORCH_LOG_FORMAT": "yaml"}, "argument --log-format: 'yaml' is none of text, json"),
        ({"SKYTORCH_MAX_CHECKPOINT_BYTES": "lots"}, "argument --max-checkpoint-bytes: 'lots' is not a size"),
        ({"SKYTORCH_INSECURE": "maybe"}, "SKYTORCH_INSECURE is 1 or 0, yes or no, not 'maybe'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_variable_is_one_line(start_server: StartServer, environment: dict[str, str], complaint: str) -> None:
    server = start_server(**environment)
    server.wait_for_log(complaint)
    assert server.process.wait(20) == 2


def test_the_environment_sets_what_no_flag_does(start_server: StartServer, connect: Connect) -> None:
    server = start_server(
        "--port",
        "0",
        SKYTORCH_PORT="1",
        SKYTORCH_HOST="127.0.0.1",
        SKYTORCH_CHUNK_SIZE="64KiB",
        SKYTORCH_LOG_LEVEL="debug",
        SKYTORCH_NO_FUNCTIONS="yes",
        SKYTORCH_NO_DIRECT="0",
    )
    created = connect(server.target).create()
    assert created.capabilities.chunk_bytes == 65536
    assert FUNCTIONS not in created.capabilities.features
    assert len(created.endpoints) == 2
    assert server.stop() == 0


def test_an_empty_variable_is_an_unset_one(start_server: StartServer, connect: Connect) -> None:
    empty = (
        *("HOST", "CHUNK_SIZE", "LOG_LEVEL", "LOG_FORMAT", "AUDIT_LOG", "TOKEN_FILE", "TLS_CERT", "TLS_KEY"),
        *("MAX_SESSIONS", "IDLE_TIMEOUT", "MAX_AGE", "SESSION_MEMORY", "PENDING_BYTES", "METRICS_PORT"),
        *("METRICS_SOURCES", "NO_FUNCTIONS", "NO_DIRECT", "INSECURE", "CHECKPOINT_DIR", "MAX_CHECKPOINT_BYTES"),
    )
    server = start_server(**{f"SKYTORCH_{name}": "" for name in empty})
    created = connect(server.target).create()
    assert created.capabilities.chunk_bytes == 1 << 20
    assert FUNCTIONS in created.capabilities.features
    assert (created.session.lease_seconds, created.session.max_age_seconds, created.session.memory_bytes) == (
        3600,
        0,
        0,
    )
    assert server.stop() == 0


def test_a_pods_environment_is_all_that_a_server_needs(
    start_server: StartServer, connect: Connect, refused, tmp_path: Path, certificates: Certificates
) -> None:
    tokens = tmp_path / "token"
    tokens.write_text("token-of-the-pod")
    tokens.chmod(0o440)
    certificate, key = certificates.issue_apart("tls")
    server = start_server(
        SKYTORCH_HOST="0.0.0.0",  # noqa: S104
        SKYTORCH_PORT="0",
        SKYTORCH_TOKEN_FILE=str(tokens),
        SKYTORCH_TLS_CERT=str(certificate),
        SKYTORCH_TLS_KEY=str(key),
    )
    server.wait_for_log(r"listens on 0\.0\.0\.0:")
    trusting = grpc.ssl_channel_credentials(certificates.ca.read_bytes())
    with refused(grpc.StatusCode.UNAUTHENTICATED):
        connect(server.target, credentials=trusting).list()
    assert connect(server.target, "token-of-the-pod", trusting).create().session.principal == "default"
    assert server.stop() == 0
