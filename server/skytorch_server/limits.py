"""What a server accepts and prefers, and how it says so."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from skytorch_wire import PROTOCOL_VERSION, __version__, service_pb2
from skytorch_wire.features import COPIES, FUNCTIONS, PYTHON_VERSION

#: The largest gRPC message that a server accepts unless told otherwise, in bytes. Larger payloads travel in chunks.
MAX_MESSAGE_BYTES = 300 * 1024 * 1024
#: gRPC itself refuses what is larger than this many times the limit, in words that don't say how to raise it. What is
#: between is read, so that we can say it.
MESSAGE_MARGIN = 2
#: What it may be told: at least a chunk of those that clients prefer, at most what gRPC can count.
LEAST_MESSAGE_BYTES = 2 * 1024 * 1024
MOST_MESSAGE_BYTES = 1023 * 1024 * 1024

#: How much of what arrived may wait to be executed.
PENDING_BYTES = 64 * 1024 * 1024

#: What sessions have when the server stops. With what it takes to end them, 8 s at most, that is within the 30 s which
#: Kubernetes gives a pod.
DRAIN_SECONDS = 20.0

#: The preferred payload of one frame of bulk data, in bytes.
CHUNK_BYTES = 1024 * 1024
CHUNK_BYTES_RANGE = (4 * 1024, 32 * 1024 * 1024)


def channel_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Between the front, the workers and their clients."""
    return [
        ("grpc.max_receive_message_length", MESSAGE_MARGIN * max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # Pings every few seconds are how a client notices a dead link.
        ("grpc.http2.min_ping_interval_without_data_ms", 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Two servers on one port would share its clients at random; the second one must fail instead.
        ("grpc.so_reuseport", 0),
    ]


def capabilities(
    chunk_bytes: int, max_message_bytes: int, pending_records: int, pending_bytes: int, *, functions: bool
) -> service_pb2.Capabilities:
    """What this server can do. Reads torch's version without importing torch."""
    try:
        torch_version = version("torch")
    except PackageNotFoundError:
        torch_version = ""
    return service_pb2.Capabilities(
        protocol_version=PROTOCOL_VERSION,
        package_version=__version__,
        torch_version=torch_version,
        compressions=[service_pb2.COMPRESSION_NONE, service_pb2.COMPRESSION_ZSTD],
        max_message_bytes=max_message_bytes,
        chunk_bytes=chunk_bytes,
        features=[COPIES, FUNCTIONS] if functions else [COPIES],
        python_version=PYTHON_VERSION,
        max_pending_records=pending_records,
        max_pending_bytes=pending_bytes,
    )


def version_mismatch(theirs: int) -> str | None:
    """One line that says what is wrong when a client of protocol version `theirs` can't be served."""
    if theirs == PROTOCOL_VERSION:
        return None
    return (
        f"the client speaks protocol version {theirs}, this server (skytorch {__version__}) speaks version "
        f"{PROTOCOL_VERSION}: install the same jupyter-skytorch on both ends"
    )
