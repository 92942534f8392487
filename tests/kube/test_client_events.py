"""What the cluster says about a Compute is told as it is said."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING

from kubernetes_asyncio.client import CoreV1Event, V1ObjectMeta, V1ObjectReference

from jupyter_skytorch import Compute, log_event

if TYPE_CHECKING:
    import pytest

    from tests.kube.computes import Computes

SECONDS = 30.0


class Told:
    """What a callback was called with, to be waited for."""

    def __init__(self) -> None:
        self.events: queue.Queue[CoreV1Event] = queue.Queue()
        self.seen: list[tuple[str, str]] = []

    def until(self, kind: str, reason: str) -> CoreV1Event:
        while True:
            event = self.events.get(timeout=SECONDS)
            self.seen.append((event.involved_object.kind, event.reason))
            if self.seen[-1] == (kind, reason):
                return event


async def test_events_of_all_that_belongs_to_it(user: str, computes: Computes) -> None:
    told = Told()
    compute = Compute("one", image="skytorch/server", on_events=told.events.put)
    await compute.ready()
    created = told.until("Compute", "Created")
    assert isinstance(created, CoreV1Event)
    assert created.type == "Normal"
    told.until("Compute", "Ready")
    assert ("StatefulSet", "SuccessfulCreate") in told.seen

    # Another object for it hears what comes, and nothing of what was.
    later = Told()
    another = Compute("one", on_events=later.events.put)
    await another.suspend()
    later.until("Compute", "Suspended")
    assert ("Compute", "Created") not in later.seen


async def test_a_callback_that_fails_is_called_again(
    user: str, computes: Computes, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()

    def fail(event: CoreV1Event) -> None:
        told.events.put(event)
        raise ZeroDivisionError

    compute = Compute("one", image="skytorch/server", on_events=fail)
    told.until("Compute", "Created")
    await compute.ready()
    told.until("Compute", "Ready")
    assert "on_events failed" in caplog.text


def test_events_are_logged_by_their_type(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jupyter_skytorch.events")
    for kind in ("Normal", "Warning", "Error"):
        log_event(
            CoreV1Event(
                type=kind,
                reason="Pulled",
                message="the image\nis there",
                involved_object=V1ObjectReference(kind="Pod", name="one-0"),
                metadata=V1ObjectMeta(name="event"),
            )
        )
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.INFO, "Pod one-0: Pulled: the image is there"),
        (logging.WARNING, "Pod one-0: Pulled: the image is there"),
        (logging.ERROR, "Pod one-0: Pulled: the image is there"),
    ]
