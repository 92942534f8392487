"""One look at a Compute: what is missing of it is made, what differs is changed, what was seen is said."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client import ApiException

from skytorch_operator import credentials, objects
from skytorch_operator.conditions import Seen, Trouble, status
from skytorch_operator.override import overridden
from skytorch_operator.policy import NotAllowedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from skytorch_operator.api import Api, Object
    from skytorch_operator.policy import Policy


@dataclass(frozen=True)
class Outcome:
    """What one look came to."""

    seen: Seen
    #: False while something is waited for that nobody will tell of.
    settled: bool


class Obstacle(Exception):  # noqa: N818 - not an error of the operator's
    """Something stands where an object of the Compute's should be."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


class Reconciler:
    """Makes Computes so. Looks at the same Compute must not overlap."""

    def __init__(self, api: Api, allowed: Policy, tell: Callable[[Object, str, str, str], None]) -> None:
        self._api = api
        self._allowed = allowed
        self._tell = tell
        # What was written last, and the version that it led to: as long as both stay, there is nothing to write.
        self._written: dict[tuple[str, str], tuple[str, Any]] = {}

    async def look(self, namespace: str, name: str) -> Outcome | None:
        """Brings a Compute one step on; None when there is none, or no longer."""
        compute = await self._api.get("computes", namespace, name)
        if compute is None or "deletionTimestamp" in compute["metadata"]:
            return None
        stateful_set: Object | None
        pod, trouble, settled = None, None, True
        try:
            await self._secret(compute)
            await self._same("services", objects.service(compute), compute, ("/spec/ports", "/spec/selector"))
            stateful_set = await self._stateful_set(compute)
        except Obstacle as obstacle:
            trouble, settled = obstacle.trouble, False
            stateful_set = await self._scaled(compute)
        except NotAllowedError as refusal:
            # Only a change of the Compute helps, and that is an event.
            trouble = Trouble("NotAllowed", str(refusal))
            stateful_set = await self._scaled(compute)
        if stateful_set is not None:
            pod = await self._pod(stateful_set)
            if pod is None and trouble is None and not compute["spec"]["suspend"]:
                trouble, settled = await self._why_no_pod(stateful_set), False
        seen = Seen(compute, stateful_set, pod, trouble)
        await self._say(seen)
        return Outcome(seen, settled)

    def forget(self, uid: str) -> None:
        """Drops what is remembered of a Compute that is gone."""
        for key in [key for key in self._written if key[0] == uid]:
            del self._written[key]

    async def _secret(self, compute: Object) -> None:
        metadata = compute["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        found = await self._api.get("secrets", namespace, name)
        if found is None:
            # Making keys takes processor time, which the watches need.
            data = await asyncio.to_thread(credentials.fresh, name, namespace)
            await _accepted(self._api.create("secrets", namespace, objects.secret(compute, data)))
            return
        _check_owner("Secret", found, compute)
        if not credentials.good(found, name, namespace):
            data = await asyncio.to_thread(credentials.fresh, name, namespace)
            # Whoever has the token needn't get a new one because a certificate runs out.
            kept = {part: value for part, value in (found.get("data") or {}).items() if part == "token" and value}
            await self._api.replace("secrets", found, {"/data": data | kept})

    async def _stateful_set(self, compute: Object) -> Object:
        wanted = objects.stateful_set(compute)
        wanted["spec"]["template"] = overridden(wanted["spec"]["template"], compute, self._allowed)
        metadata = compute["metadata"]
        for claim in compute["spec"].get("volumeClaimTemplates", ()):
            # As a StatefulSet names it. Another one's volume may happen to have that name.
            name = f"{claim['metadata']['name']}-{metadata['name']}-0"
            found = await self._api.get("persistentvolumeclaims", metadata["namespace"], name)
            labels = (found["metadata"].get("labels") or {}) if found else objects.labels(compute)
            if labels.get(objects.NAME_LABEL) != metadata["name"]:
                raise Obstacle(Trouble("NameTaken", f"the volume {name} isn't this Compute's: choose another name"))
        return await self._same("statefulsets", wanted, compute, ("/spec/replicas", "/spec/template"))

    async def _scaled(self, compute: Object) -> Object | None:
        """What runs already, with nothing changed but whether it runs."""
        metadata = compute["metadata"]
        found = await self._api.get("statefulsets", metadata["namespace"], metadata["name"])
        if found is None or not objects.is_owned(found, compute):
            return None
        replicas = objects.stateful_set(compute)["spec"]["replicas"]
        if found["spec"]["replicas"] == replicas:
            return found
        return await self._api.replace("statefulsets", found, {"/spec/replicas": replicas})

    async def _same(self, plural: str, wanted: Object, compute: Object, paths: tuple[str, ...]) -> Object:
        """The object, made or changed so that it is as wanted at `paths`."""
        metadata = wanted["metadata"]
        found = await self._api.get(plural, metadata["namespace"], metadata["name"])
        key = compute["metadata"]["uid"], plural
        if found is None:
            found = await _accepted(self._api.create(plural, metadata["namespace"], wanted))
            if plural == "statefulsets":
                self._tell(compute, "Normal", "Created", "made the Secret, the Service and the StatefulSet")
        else:
            _check_owner(wanted["kind"], found, compute)
            if self._written.get(key) == (_digest(wanted), _version(found)):
                return found
            found = await _accepted(self._api.replace(plural, found, {path: _at(wanted, path) for path in paths}))
        self._written[key] = _digest(wanted), _version(found)
        return found

    async def _pod(self, stateful_set: Object) -> Object | None:
        metadata = stateful_set["metadata"]
        pod = await self._api.get("pods", metadata["namespace"], f"{metadata['name']}-0")
        if pod is None or not any(
            owner["uid"] == metadata["uid"] for owner in pod["metadata"].get("ownerReferences") or ()
        ):
            return None
        return pod

    async def _why_no_pod(self, stateful_set: Object) -> Trouble | None:
        """Why there is none, which only an event tells."""
        metadata = stateful_set["metadata"]
        selector = f"involvedObject.uid={metadata['uid']},reason=FailedCreate"
        events = await self._api.list("events", metadata["namespace"], fieldSelector=selector, limit=50)
        if not events:
            return None
        message = max(events, key=lambda event: event.get("lastTimestamp") or "").get("message", "")
        return Trouble("QuotaExceeded" if "exceeded quota" in message else "PodRefused", message)

    async def _say(self, seen: Seen) -> None:
        compute = seen.compute
        before = compute.get("status", {})
        after = status(seen, dt.datetime.now(dt.UTC))
        if all(before.get(field) == value for field, value in after.items()):
            return
        metadata = compute["metadata"]
        # The uid: not to write of this Compute into a new one of the same name.
        body = {"metadata": {"uid": metadata["uid"]}, "status": after}
        await self._api.merge("computes", metadata["namespace"], f"{metadata['name']}/status", body)
        self._tell_changes(compute, before, after)

    def _tell_changes(self, compute: Object, before: Object, after: Object) -> None:
        earlier = {condition["type"]: condition for condition in before.get("conditions") or ()}
        for condition in after["conditions"]:
            kind, was = condition["type"], earlier.get(condition["type"], {})
            if condition["status"] == "True" and (was.get("status"), was.get("reason")) != (
                "True",
                condition["reason"],
            ):
                if kind == "Degraded":
                    self._tell(compute, "Warning", condition["reason"], condition["message"])
                elif kind in {"Ready", "Suspended"}:
                    self._tell(compute, "Normal", kind, condition["message"])


async def _accepted(write: Awaitable[Object]) -> Object:
    """What was written, or the API server's reason not to: a quota, a webhook, or a value that only it can judge."""
    try:
        return await write
    except ApiException as failure:
        if failure.status in {HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY}:
            raise Obstacle(Trouble("Refused", _words(failure))) from None
        raise


def _check_owner(kind: str, found: Object, compute: Object) -> None:
    if objects.is_owned(found, compute):
        return
    name = compute["metadata"]["name"]
    if objects.is_owned_by_namesake(found, compute):
        message = f"the {kind} of the former Compute named {name} goes first"
        raise Obstacle(Trouble("Replacing", message, passes=True))
    raise Obstacle(
        Trouble("NameTaken", f"there is a {kind} named {name} that isn't this Compute's: choose another name")
    )


def _words(failure: ApiException) -> str:
    try:
        return str(json.loads(failure.body or "")["message"])
    except (KeyError, TypeError, ValueError):
        return str(failure.reason)


def _digest(wanted: Object) -> str:
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()


def _version(found: Object) -> Any:
    """Changes when somebody changes what is wanted; a status alone doesn't change it."""
    metadata = found["metadata"]
    return metadata.get("generation") or metadata["resourceVersion"]


def _at(wanted: Mapping[str, Any], path: str) -> Any:
    value: Any = wanted
    for part in path.strip("/").split("/"):
        value = value[part]
    return value
