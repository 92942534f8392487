"""What a server tells of itself and its machine, and to whom."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import grpc
import pytest

from skytorch_wire import metrics_pb2
from skytorch_wire.records import View, Writer

if TYPE_CHECKING:
    from conftest import Client, Connect, ServerProcess, StartServer

GAUGE = metrics_pb2.METRIC_TYPE_GAUGE
COUNTER = metrics_pb2.METRIC_TYPE_COUNTER


def get(client: Client, *sources: str) -> list[metrics_pb2.Metric]:
    return list(client.call(client.metrics.GetMetrics, metrics_pb2.GetMetricsRequest(sources=sources)).metrics)


def value(metrics: list[metrics_pb2.Metric], name: str, **labels: str) -> float:
    [metric] = [metric for metric in metrics if metric.name == name and dict(metric.labels) == labels]
    return metric.value


def test_every_metric_is_whole(alice: Client) -> None:
    alice.create()
    snapshot = alice.call(alice.metrics.GetMetrics, metrics_pb2.GetMetricsRequest())
    assert snapshot.boot_id
    assert {metric.source for metric in snapshot.metrics} == {"host", "torch"}
    for metric in snapshot.metrics:
        assert metric.name.startswith(("host.", "torch."))
        assert metric.type in {GAUGE, COUNTER}
        assert metric.unit
        assert metric.help
        assert 0 <= snapshot.time.seconds - metric.timestamp.seconds < 60


def test_the_machine_is_told(alice: Client) -> None:
    metrics = get(alice, "host")
    assert {metric.source for metric in metrics} == {"host"}
    assert 0 < value(metrics, "host.memory.used") < value(metrics, "host.memory.total")
    assert 0 <= value(metrics, "host.cpu.utilization") <= 100
    assert value(metrics, "host.cpu.count") >= 1


def test_sessions_are_counted_for_all_and_named_to_their_owner(alice: Client, bob: Client, until) -> None:
    created = alice.create("lab")
    before = value(get(bob, "torch"), "torch.operations")
    stream = alice.stream(created)
    stream.response()
    view = View(1, "float32", [1000])
    one = Writer().define_device(0, "cpu", 0).ensure(view, 0).ask("aten::zero_", [Writer().tensor(view)], [])
    stream.send(one.ask("aten::zero_", [Writer().tensor(view)], []).take(), 4)
    replies = stream.replies()
    next(replies)
    next(replies)

    until(lambda: value(get(bob, "torch"), "torch.operations") == before + 2, "both ops are counted")
    labels = {"session": created.session.session_id, "session_name": "lab"}
    mine = get(alice, "torch")
    assert value(mine, "torch.operations", **labels) == 2
    assert value(mine, "torch.storage.bytes", **labels) == 4000
    assert value(mine, "torch.bytes.received", **labels) > 0
    assert value(mine, "torch.resident.bytes", **labels) > 1 << 20
    others = get(bob, "torch")
    assert value(others, "torch.sessions") >= 1
    assert value(others, "torch.storage.bytes") >= 4000
    assert not [metric for metric in others if created.session.session_id in metric.labels.values()]

    alice.close_session(created.session.session_id)
    until(lambda: value(get(bob, "torch"), "torch.storage.bytes") == 0, "its memory is no longer counted")
    assert value(get(bob, "torch"), "torch.operations") == before + 2


def test_a_stream_of_metrics_keeps_its_interval(alice: Client) -> None:
    request = metrics_pb2.StreamMetricsRequest(sources=["host"], interval_seconds=0.1)
    stream = alice.metrics.StreamMetrics(request, metadata=alice.metadata, timeout=60)
    times = [next(stream).metrics[0].timestamp.ToNanoseconds() for _ in range(5)]
    stream.cancel()
    # Each is a new reading; how late one comes is up to the machine.
    assert all(later - earlier > 80_000_000 for earlier, later in pairwise(times))


def test_streams_share_readings(alice: Client, bob: Client) -> None:
    request = metrics_pb2.StreamMetricsRequest(sources=["host"], interval_seconds=2)
    streams = [c.metrics.StreamMetrics(request, metadata=c.metadata, timeout=60) for c in (alice, bob)]
    one, two = (next(stream).metrics[0].timestamp for stream in streams)
    assert one == two
    for stream in streams:
        stream.cancel()


@pytest.mark.parametrize("interval", [0.05, -1, 1e9, float("nan"), float("inf")])
def test_an_interval_out_of_bounds_is_refused(alice: Client, refused, interval: float) -> None:
    request = metrics_pb2.StreamMetricsRequest(interval_seconds=interval)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "interval_seconds"):
        next(alice.metrics.StreamMetrics(request, metadata=alice.metadata, timeout=10))


def test_an_unknown_source_is_refused_with_advice(alice: Client, refused) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "did you mean 'nvidia-gpu'"):
        get(alice, "nvidia_gpu")
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "there are nvidia-gpu, host, torch"):
        next(
            alice.metrics.StreamMetrics(
                metrics_pb2.StreamMetricsRequest(sources=["x"]), metadata=alice.metadata, timeout=10
            )
        )


def test_a_machine_without_a_gpu_says_so_once_and_serves(server: ServerProcess, alice: Client) -> None:
    assert get(alice, "nvidia-gpu") == []
    server.wait_for_log("INFO .*nvidia-gpu: no GPU metrics")
    assert len([line for line in server.log if "nvidia-gpu" in line]) == 1


def test_a_server_tells_only_the_sources_it_was_started_with(
    start_server: StartServer, connect: Connect, refused
) -> None:
    server = start_server(SKYTORCH_METRICS_SOURCES="host")
    client = connect(server.target)
    assert {metric.source for metric in get(client)} == {"host"}
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        get(client, "torch")
    assert server.stop() == 0
