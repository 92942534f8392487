"""The nvidia-gpu source, against a stand-in for the driver's library, and against the driver where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from skytorch_wire import metrics_pb2

if TYPE_CHECKING:
    from conftest import Client, Connect, ServerProcess, StartServer


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libnvidia-ml.so.1 of ours."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed, as for the native parts"
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("stub_nvml.c")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source], check=True, timeout=60)
    return folder


@pytest.fixture
def server(start_server: StartServer, driver: Path, tmp_path: Path):
    server = start_server(
        "--token-file",
        str(_tokens(tmp_path)),
        "--metrics-sources",
        "nvidia-gpu",
        LD_LIBRARY_PATH=str(driver),
        STUB_NVML_PIDS_FILE=str(tmp_path / "pids"),
    )
    yield server
    assert server.stop() == 0, "".join(server.log)


def _tokens(folder: Path) -> Path:
    file = folder / "tokens"
    file.write_text("alice:a\nbob:b\n")
    file.chmod(0o600)
    return file


def gpu_metrics(client: Client) -> dict[tuple[str, str], metrics_pb2.Metric]:
    """By name and GPU."""
    answer = client.call(client.metrics.GetMetrics, metrics_pb2.GetMetricsRequest())
    return {(metric.name, metric.labels["gpu"]): metric for metric in answer.metrics}


def test_each_gpu_tells_what_it_can(server: ServerProcess, connect: Connect) -> None:
    metrics = gpu_metrics(connect(server.target, "a"))
    told = {key: (metric.value, metric.unit) for key, metric in metrics.items()}
    assert told == {
        ("gpu.utilization", "0"): (75, "%"),
        ("gpu.memory.utilization", "0"): (50, "%"),
        ("gpu.memory.used", "0"): (4 << 30, "B"),
        ("gpu.memory.total", "0"): (16 << 30, "B"),
        ("gpu.temperature", "0"): (61, "°C"),
        ("gpu.power", "0"): (123.5, "W"),
        ("gpu.power.limit", "0"): (300, "W"),
        ("gpu.clock.sm", "0"): (1.5e9, "Hz"),
        ("gpu.clock.memory", "0"): (2.6e9, "Hz"),
        ("gpu.processes", "0"): (1, "1"),
        ("gpu.utilization", "1"): (0, "%"),
        ("gpu.memory.utilization", "1"): (50, "%"),
        ("gpu.memory.used", "1"): (4 << 30, "B"),
        ("gpu.memory.total", "1"): (16 << 30, "B"),
        ("gpu.temperature", "1"): (61, "°C"),
        ("gpu.clock.sm", "1"): (1.5e9, "Hz"),
        ("gpu.clock.memory", "1"): (2.6e9, "Hz"),
        ("gpu.processes", "1"): (0, "1"),
    }
    assert dict(metrics["gpu.power", "0"].labels) == {"gpu": "0", "name": "Stub GPU 0", "uuid": "GPU-0"}


def test_processes_are_named_to_the_owner_of_their_session(
    server: ServerProcess, connect: Connect, tmp_path: Path
) -> None:
    alice, bob = connect(server.target, "a"), connect(server.target, "b")
    session = alice.create().session
    (tmp_path / "pids").write_text(f"{session.pid}\n")
    process = gpu_metrics(alice)["gpu.process.memory.used", "0"]
    assert process.value == 256 << 20
    assert dict(process.labels) == {"gpu": "0", "pid": str(session.pid), "session": session.session_id}
    others = gpu_metrics(bob)
    assert ("gpu.process.memory.used", "0") not in others
    assert others["gpu.processes", "0"].value == 2


@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="this machine has no NVIDIA GPU")
def test_a_real_gpu_tells_its_memory(start_server: StartServer, connect: Connect) -> None:
    server = start_server("--metrics-sources", "nvidia-gpu")
    metrics = gpu_metrics(connect(server.target))
    assert 0 < metrics["gpu.memory.used", "0"].value < metrics["gpu.memory.total", "0"].value
    assert server.stop() == 0
