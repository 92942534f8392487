"""What each line of the program has cost, as this end of a session counts it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LineCounters", "merged"]


@dataclass
class LineCounters:
    """One line. Times in seconds, sizes in bytes."""

    ops: int = 0
    bytes_up: int = 0
    """Of its records, data and all."""
    uploads: int = 0
    """Tensors written from here; `upload_bytes` together."""
    upload_bytes: int = 0
    bytes_down: int = 0
    """What it was answered."""
    sync_points: int = 0
    wait_seconds: float = 0.0
    """At sync points."""
    asks: int = 0
    """Of the sync points: where only the server could tell the shape of a result; `asked` is the last such op."""
    asked: str = ""
    held_seconds: float = 0.0
    """Until the server had caught up with what was issued."""


def merged(
    issued: list[tuple[int, int, int, int, int, int]], waited: list[tuple[int, int, int, int, int, int, str, int]]
) -> dict[tuple[int, int], LineCounters]:
    """By cell and line: what was issued and what was waited for, as the core tells them apart."""
    lines: dict[tuple[int, int], LineCounters] = {}
    for cell, line, ops, size, uploads, upload_bytes in issued:
        at = lines.setdefault((cell, line), LineCounters())
        at.ops, at.bytes_up, at.uploads, at.upload_bytes = ops, size, uploads, upload_bytes
    for cell, line, sync_points, wait, size, asks, asked, held in waited:
        at = lines.setdefault((cell, line), LineCounters())
        at.sync_points, at.wait_seconds, at.bytes_down = sync_points, wait / 1e9, size
        at.asks, at.asked, at.held_seconds = asks, asked, held / 1e9
    return lines
