"""How a Compute is, from what is seen of its StatefulSet and its pod."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skytorch_operator.credentials import names
from skytorch_operator.objects import CONTAINER

if TYPE_CHECKING:
    from skytorch_operator.api import Object

#: Why a container waits when its image can't be had.
IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
#: Why a container waits when it can't be started from its image.
CONTAINER_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError"}


@dataclass(frozen=True)
class Trouble:
    """What keeps a Compute from being as it is wanted, for people to read."""

    reason: str
    message: str
    #: It needs nobody's help.
    passes: bool = False


@dataclass(frozen=True)
class Seen:
    """What there is of a Compute."""

    compute: Object
    stateful_set: Object | None = None
    pod: Object | None = None
    trouble: Trouble | None = None

    @property
    def is_wanted_and_ready(self) -> bool:
        """Whether it can be used, as it says now."""
        return self.serves and self.trouble is None

    @property
    def serves(self) -> bool:
        """Whether something runs that is to be asked when it was used, though perhaps not with the latest changes."""
        return self.is_ready and not self.compute["spec"]["suspend"]

    @property
    def is_ready(self) -> bool:
        """Whether the pod that is wanted, and not its predecessor, serves."""
        return self.pod is not None and self._is_current and _is_true(self.pod, "Ready")

    @property
    def _is_current(self) -> bool:
        if self.stateful_set is None or self.pod is None or "deletionTimestamp" in self.pod["metadata"]:
            return False
        status = self.stateful_set.get("status", {})
        revision = self.pod["metadata"].get("labels", {}).get("controller-revision-hash")
        wanted = self.stateful_set["metadata"]["generation"], revision
        return (status.get("observedGeneration"), status.get("updateRevision")) == wanted

    def verdict(self) -> tuple[str, str, Trouble | None]:
        """The reason and message of Ready, and what is wrong, if something is."""
        if self.trouble is not None:
            return self.trouble.reason, self.trouble.message, None if self.trouble.passes else self.trouble
        if self.compute["spec"]["suspend"]:
            return "Suspended", "nothing runs; the volumes are kept", None
        if self.is_ready:
            return "Serving", "the server answers", None
        if self.pod is None:
            return "Creating", "the pod is being made", None
        if not self._is_current:
            return "Replacing", "the pod makes room for one that is as the Compute says now", None
        if trouble := trouble_of(self.pod, _earlier(self.compute)):
            return trouble.reason, trouble.message, trouble
        return "Starting", "the pod is there, the server isn't ready yet", None


def status(seen: Seen, now: dt.datetime) -> Object:
    """Conditions, addresses and generation, as the Compute's status has them; what didn't change keeps its time."""
    reason, message, trouble = seen.verdict()
    suspended = seen.compute["spec"]["suspend"]
    gone = seen.pod is None
    progressing = trouble is None and (not gone if suspended else not seen.is_ready)
    ready = seen.is_wanted_and_ready
    found = {
        "Ready": (ready, reason, message),
        "Suspended": (
            (suspended and gone, "Suspended" if gone else "Suspending", "wanted by spec.suspend")
            if suspended
            else (False, "Wanted", "spec.suspend is false")
        ),
        "Progressing": (progressing, reason, message) if progressing else (False, "Settled", "nothing is under way"),
        "Degraded": (True, trouble.reason, trouble.message) if trouble else (False, "AsExpected", "nothing is wrong"),
    }
    metadata = seen.compute["metadata"]
    earlier = _earlier(seen.compute)
    conditions = []
    for kind, (true, why, words) in found.items():
        value = "True" if true else "False"
        before = earlier.get(kind)
        since = before["lastTransitionTime"] if before and before["status"] == value else timestamp(now)
        conditions.append(
            {
                "type": kind,
                "status": value,
                "reason": why,
                "message": words,
                "observedGeneration": metadata["generation"],
                "lastTransitionTime": since,
            }
        )
    host = names(metadata["name"], metadata["namespace"])[0]
    return ({"sessions": 0} if suspended else {}) | {
        "observedGeneration": metadata["generation"],
        "conditions": conditions,
        "addresses": [{"host": host, "port": seen.compute["spec"]["port"]}] if ready else [],
    }


def timestamp(moment: dt.datetime) -> str:
    """As Kubernetes writes times."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def trouble_of(pod: Object, earlier: dict[str, Object]) -> Trouble | None:
    """What is wrong with a pod that isn't ready. Kubelets alternate between states of one trouble; this doesn't."""
    pod_status = pod.get("status", {})
    for condition in pod_status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Trouble(
                "Unschedulable", condition.get("message") or condition.get("reason", "no node takes the pod")
            )
    if pod_status.get("phase") == "Failed" and pod_status.get("reason"):
        return Trouble(pod_status["reason"], pod_status.get("message", "the pod failed"))
    containers = [*(pod_status.get("initContainerStatuses") or ()), *(pod_status.get("containerStatuses") or ())]
    for container in containers:
        if trouble := _trouble_of_container(container, earlier.get("Degraded")):
            return trouble
    return None


def _trouble_of_container(container: Object, degraded: Object | None) -> Trouble | None:
    state = container.get("state", {})
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in IMAGE_REASONS:
        # Between two attempts, older kubelets say only that they wait; why was said before.
        if reason == "ImagePullBackOff" and degraded and degraded["reason"] == "ImagePull":
            return Trouble("ImagePull", degraded["message"])
        return Trouble("ImagePull", f"the image {container['image']} can't be pulled: {message or reason}")
    if reason in CONTAINER_REASONS:
        return Trouble("ContainerError", f"the container {container['name']} can't be started: {message or reason}")
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
    is_server = container["name"] == CONTAINER
    if ended and (ended.get("exitCode") or is_server) and not container.get("ready"):
        words = f"exit code {ended['exitCode']}, {ended.get('reason', 'no reason given')}"
        tail = f": {ended['message'].strip()}" if ended.get("message", "").strip() else ""
        return Trouble("CrashLoop", f"the container {container['name']} ended ({words}) and is started again{tail}")
    if reason == "CrashLoopBackOff":
        return Trouble("CrashLoop", f"the container {container['name']} ends again and again: {message or reason}")
    return None


def _is_true(pod: Object, kind: str) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any((condition["type"], condition["status"]) == (kind, "True") for condition in conditions)


def _earlier(compute: Object) -> dict[str, Object]:
    return {condition["type"]: condition for condition in compute.get("status", {}).get("conditions") or ()}
