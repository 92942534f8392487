"""The page of metrics."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from conftest import Connect, StartServer


def read(url: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by name and labels."""
    with urlopen(url, timeout=30) as answer:  # noqa: S310
        page = answer.read().decode()
    assert answer.headers["Content-Type"].startswith("text/plain")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(page):
        assert family.documentation
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_it_counts_what_the_server_does_and_names_nobody(
    start_server: StartServer, connect: Connect, tmp_path, until
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("alice-of-wonderland:right\n")
    tokens.chmod(0o600)
    server = start_server("--token-file", str(tokens), "--metrics-port", "0")
    url = server.wait_for_log(r"Prometheus finds metrics at (http://127.0.0.1:\d+/metrics)")[1]
    alice = connect(server.target, "right")
    created = alice.create("secret-project")
    stream = alice.stream(created)
    view = View(1, "uint8", [1 << 20])
    stream.send(Writer().define_device(0, "cpu", 0).ensure(view, 0).write(1, 0, bytes(1 << 20)).read(view).take(), 4)
    next(stream.replies())
    with pytest.raises(Exception, match="token"):
        connect(server.target, "wrong").list()

    found = until(lambda: (page := read(url))["skytorch_torch_storage_bytes"][()] == 1 << 20 and page, "it is sampled")
    assert found["skytorch_torch_sessions"][()] == 1
    assert found["skytorch_torch_received_bytes_total"][()] > 1 << 20
    assert found["skytorch_calls_refused_total"][()] == 1
    assert found["skytorch_calls_put_off_total"][()] == 0
    assert found["skytorch_sessions_begun_total"][()] == 1
    assert found["skytorch_torch_queued_bytes"][()] == 0
    assert found["skytorch_host_memory_used_bytes"][()] > 0
    alice.close_session(created.session.session_id)
    ended = read(url)["skytorch_sessions_ended_total"]
    assert ended == {(("state", "closed"),): 1, (("state", "expired"),): 0, (("state", "crashed"),): 0}
    with urlopen(url, timeout=30) as answer:  # noqa: S310
        page = answer.read().decode()
    for name in ("alice", "secret-project", created.session.session_id):
        assert name not in page
    assert server.stop() == 0


def test_a_taken_port_is_one_line(start_server: StartServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start_server("--metrics-port", str(port))
        server.wait_for_log(rf"^skytorch-server: can't serve metrics on 127.0.0.1:{port}: is the port taken\?")
        assert server.process.wait(20) == 1
