"""A profile as a Chrome trace, for chrome://tracing and https://ui.perfetto.dev."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .profile import Profile, Span

__all__ = ["chrome_trace"]

#: The rows of the trace: the name of their spans in the profile, process, thread, and what the row is called.
_ROWS = (
    ("lines", 1, 1, "lines of the cell"),
    ("waits", 1, 2, "waiting for the server"),
    ("server", 2, 1, "the session's thread"),
    ("device", 2, 2, "the device's stream"),
)


def chrome_trace(profile: Profile) -> dict[str, Any]:
    """The JSON of the trace; its times are microseconds since the cell began.

    `otherData` says how many spans were dropped, and by how many seconds the server's rows may be off against the
    notebook's.
    """
    sources = {(line.cell, line.line): line.source.text for line in profile.lines}

    def event(row: str, process: int, thread: int, span: Span) -> dict[str, Any]:
        text = sources.get((span.cell, span.line), "")
        at = f"line {span.line}: {text}" if span.line else "end of the cell"
        return {
            "name": at if row == "lines" else span.name,
            "cat": row,
            "ph": "X",
            "ts": (span.began - profile.began) * 1e6,
            "dur": span.seconds * 1e6,
            "pid": process,
            "tid": thread,
            "args": {"cell": span.cell, "line": span.line, "source": text},
        }

    events: list[dict[str, Any]] = [
        _named("process_name", 1, 0, "notebook"),
        _named("process_name", 2, 0, profile.where),
    ]
    for row, process, thread, title in _ROWS:
        spans = profile.spans.get(row, ())
        if spans:
            events.append(_named("thread_name", process, thread, title))
            events += [event(row, process, thread, span) for span in spans]
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "cell": profile.cell,
            "compute": profile.where,
            "spans_dropped": profile.dropped,
            "clock_uncertainty_seconds": profile.clock_uncertainty,
        },
    }


def _named(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "ts": 0, "pid": process, "tid": thread, "args": {"name": name}}
