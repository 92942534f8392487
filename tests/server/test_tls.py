"""The server's port with a certificate."""

from __future__ import annotations

import random
import socket
import ssl
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_server.front.secret_file import SecretFileError
from skytorch_server.front.tls import Tls
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Client, Connect, ServerProcess, StartServer

    from tests.certificates import Certificates

VIEW = View(1, "uint8", [3])


def port_of(server: ServerProcess) -> int:
    return int(server.target.rpartition(":")[2])


def trusting(certificates: Certificates, own: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    if own is not None:
        context.load_cert_chain(own)
    return context


def encrypted(server: ServerProcess, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port_of(server)), timeout=30)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def serial(connection: ssl.SSLSocket) -> str:
    told = connection.getpeercert()
    assert told is not None
    return str(told["serialNumber"])


@pytest.fixture
def client(certificates: Certificates, connect: Connect):
    """Connects to a server by TLS."""

    def open_client(server: ServerProcess, own: Path | None = None) -> Client:
        key = own.read_bytes() if own else None
        credentials = grpc.ssl_channel_credentials(certificates.ca.read_bytes(), key, key)
        return connect(server.target, credentials=credentials)

    return open_client


@pytest.fixture
def server(start_server: StartServer, certificates: Certificates) -> Iterator[ServerProcess]:
    cert, key = certificates.issue_apart("server")
    server = start_server("--tls-cert", str(cert), "--tls-key", str(key))
    yield server
    assert server.stop() == 0, "".join(server.log)


def test_calls_and_relayed_streams_are_encrypted(server: ServerProcess, client) -> None:
    caller = client(server)
    stream = caller.stream(caller.create("far"))
    stream.send(Writer().define_device(0, "cpu", 0).ensure(VIEW, 0).write(1, 0, b"abc").read(VIEW).take(), 4)
    assert next(stream.replies()).data == b"abc"


def test_a_tunnel_carries_a_stream_within_tls(server: ServerProcess, client, certificates: Certificates) -> None:
    caller = client(server)
    caller.local, caller.door, caller.context = True, server.target, trusting(certificates)
    stream = caller.stream(caller.create("far"))
    # More at once than one record of TLS or one read of the server's takes, both ways.
    large = View(1, "uint8", [2 << 20])
    data = random.Random(0).randbytes(large.bytes)
    stream.send(Writer().define_device(0, "cpu", 0).ensure(large, 0).write(1, 0, data).read(large).take(), 4)
    received = b""
    for reply in stream.replies():
        received += reply.data
        if len(received) == len(data):
            break
    assert received == data


def test_who_speaks_without_tls_is_let_go(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=30) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        while answer := connection.recv(100):
            assert not answer.startswith(b"HTTP")
    server.wait_for_log("INFO .*127.0.0.1 comes to no TLS: ")


def test_a_probe_that_says_nothing_is_no_failure(server: ServerProcess) -> None:
    for _ in range(3):
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=30).close()
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=30) as connection:
        connection.sendall(b"nothing of TLS")
        while connection.recv(100):
            pass
    # The first that is told of is the one that spoke.
    assert server.wait_for_log("comes to no TLS: (.*)")[1] == "wrong version number"


def test_a_silent_or_broken_handshake_disturbs_nobody(server: ServerProcess, client) -> None:
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=30) as silent:
        silent.sendall(b"\x16\x03\x01")
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=30) as broken:
            broken.sendall(b"\x16\x03\x01\xff\xff" + bytes(100))
        assert client(server).list() == []


def test_old_versions_of_tls_are_refused(server: ServerProcess, certificates: Certificates) -> None:
    context = trusting(certificates)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match="SSL"):
        encrypted(server, context)


def test_a_renewed_certificate_is_used_without_a_restart(
    start_server: StartServer, certificates: Certificates, until
) -> None:
    path = certificates.issue("server.pem")
    server = start_server("--tls-cert", str(path))
    context = trusting(certificates)
    with encrypted(server, context) as connection:
        first = serial(connection)
    certificates.issue("new.pem").replace(path)
    with encrypted(server, context) as renewed:
        second = serial(renewed)
    assert second != first
    server.wait_for_log("INFO .*read the certificate .*server.pem again")
    # What is no certificate changes nothing.
    path.write_text("half a certificate\n")
    with encrypted(server, context) as kept:
        assert serial(kept) == second
    server.wait_for_log("ERROR .*can't use the certificate .*server.pem.*; what was read before stays in force")
    path.unlink()
    with encrypted(server, context) as kept:
        assert serial(kept) == second
    assert server.stop() == 0


def test_clients_show_a_certificate_where_one_is_asked_for(
    start_server: StartServer, certificates: Certificates, other_certificates: Certificates, client
) -> None:
    path = certificates.issue("server.pem")
    server = start_server("--tls-cert", str(path), "--tls-client-ca", str(certificates.ca))
    assert client(server, certificates.issue("ada.pem", "ada@example.org")).list() == []
    stranger = other_certificates.issue("eve.pem", "eve@example.org")
    for context in (trusting(certificates), trusting(certificates, stranger)):
        with encrypted(server, context) as connection, pytest.raises(ssl.SSLError, match="ALERT"):
            connection.recv(100)
    server.wait_for_log("INFO .*127.0.0.1 comes to no TLS: ")
    assert server.stop() == 0


def test_flags_that_do_not_go_together_are_told(start_server: StartServer) -> None:
    server = start_server("--tls-client-ca", "ca.pem")
    server.wait_for_log("error: --tls-client-ca goes with --tls-cert, which is missing")
    assert server.process.wait(20) == 2


def test_a_file_that_cannot_be_used_stops_the_start(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--tls-cert", str(tmp_path / "none.pem"))
    server.wait_for_log("^skytorch-server: .*none.pem can't be read: No such file or directory")
    assert server.process.wait(20) == 1


@pytest.mark.parametrize(
    ("cert", "key", "client_ca", "complaint"),
    [
        ("text.pem", None, None, "can't use the certificate .*text.pem .*: it is no PEM file of that kind"),
        ("locked.pem", None, None, "can't use the certificate .*locked.pem .*: the key is protected by a password"),
        ("open.pem", None, None, "every user of this machine can read or change .*open.pem: chmod o-rw "),
        ("a.crt", "b.key", None, "a.crt with .*b.key: the key is not that of the certificate"),
        ("good.pem", None, "text.pem", "can't use .*text.pem as clients' authority"),
    ],
)
def test_it_is_said_what_is_wrong_with_a_file(
    certificates: Certificates, tmp_path: Path, cert: str, key: str | None, client_ca: str | None, complaint: str
) -> None:
    certificates.issue("good.pem")
    certificates.issue("open.pem").chmod(0o644)
    certificates.issue("locked.pem", password=b"secret")
    certificates.issue_apart("a")
    certificates.issue_apart("b")
    (tmp_path / "text.pem").write_text("no certificate\n")
    (tmp_path / "text.pem").chmod(0o600)
    with pytest.raises(SecretFileError, match=complaint):
        Tls(tmp_path / cert, tmp_path / key if key else None, tmp_path / client_ca if client_ca else None)
