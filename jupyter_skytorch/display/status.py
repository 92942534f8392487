"""How a Compute and its status look in a cell."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .computes import resources_text
from .markup import MimeBundle, block, dot, table
from .quantities import count, duration, size

if TYPE_CHECKING:
    from jupyter_skytorch.compute import Compute, Status
    from jupyter_skytorch.compute.kubernetes.summary import Summary
    from skytorch_wire import sessions_pb2

__all__ = ["compute_bundle", "device_text", "status_bundle"]


def device_text(device: sessions_pb2.Device) -> str:
    """Describe one of a server's devices: "cuda:0 NVIDIA H100 (79.6 GiB)"."""
    memory = f" ({size(device.memory_bytes)})" if device.memory_bytes else ""
    return f"{device.type}:{device.index} {device.name}".strip() + memory


def compute_bundle(compute: Compute, *_formats: object, **_more: object) -> MimeBundle:
    """Show a Compute in one line."""
    state = f"{compute.state}: {compute.reason}" if compute.reason else compute.state
    parts = [state, compute.address]
    if compute.provision is not None and (summary := compute.provision.summary) is not None and summary.resources:
        parts.append(resources_text(summary.resources))
    # One in a cluster is shown as it is; being looked at is no reason to connect.
    if (connection := compute.connection) is not None and (compute.provision is None or not connection.left):
        session = connection.session
        devices = ", ".join(f"{device.type}:{device.index}" for device in session.devices)
        parts += [devices, f"torch {session.torch_version}"]
    rest = " · ".join(parts)
    html = f"{dot(compute.state)} <strong>{escape(compute.name)}</strong> {escape(rest)}"
    return {"text/plain": f"{compute.name}: {rest}", "text/html": block(html)}


def status_bundle(status: Status, *_formats: object, **_more: object) -> MimeBundle:
    """Show a status as a short table."""
    rows = list(_rows(status).items())
    width = max(len(label) for label, _ in rows)
    plain = "\n".join(f"{label.ljust(width)}  {text}" for label, text in rows)
    return {"text/plain": plain, "text/html": block(table((), _html_rows(rows, status.state), escaped=True))}


def _html_rows(rows: list[tuple[str, str]], state: str) -> list[tuple[str, str]]:
    return [
        (f"<strong>{escape(label)}</strong>", f"{dot(state)} {escape(text)}" if label == "state" else escape(text))
        for label, text in rows
    ]


def _ends(session: sessions_pb2.Session) -> str:
    age = f", or when it is {duration(session.max_age_seconds)} old" if session.max_age_seconds else ""
    return f"{duration(session.lease_seconds)} after the kernel is gone{age}"


def _cluster_rows(summary: Summary) -> dict[str, str]:
    rows = {"namespace": summary.namespace, "image": summary.image}
    if summary.resources:
        rows["may take"] = resources_text(summary.resources)
    if summary.volumes:
        rows["volumes"] = ", ".join(summary.volumes)
    if summary.state != "suspended":
        after = summary.suspend_after
        rows["suspended"] = f"after {duration(after)} without use" if after else "never by itself"
    return rows


def _rows(status: Status) -> dict[str, str]:
    rows = {
        "Compute": f"{status.name} ({status.provider})",
        "state": f"{status.state}: {status.reason}" if status.reason else status.state,
        "address": status.address,
    }
    if status.summary is not None:
        rows |= _cluster_rows(status.summary)
    if status.session_id:
        rows |= {
            "devices": ", ".join(map(device_text, status.devices)),
            "server": f"skytorch {status.server_version}, torch {status.torch_version}",
            "session": status.session_id,
        }
    if status.round_trip_seconds is None:
        return rows
    stats = status.stats
    return rows | {
        "round trip": duration(status.round_trip_seconds),
        "executed": f"{count(stats.operations, 'op')} in {duration(stats.busy_nanoseconds * 1e-9)}",
        "ends": _ends(status.session),
        "memory limit": size(status.session.memory_bytes) if status.session.memory_bytes else "none",
        "holds": f"{count(stats.storages, 'storage')}, {size(stats.storage_bytes)}",
        "traffic": f"↑ {size(stats.bytes_received)} ↓ {size(stats.bytes_sent)}",
    }
