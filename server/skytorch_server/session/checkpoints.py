"""A session's named objects to the server's disk and back, in the order of its log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from skytorch_server.checkpoints.folder import CheckpointFolder
from skytorch_server.checkpoints.manifest import CheckpointError
from skytorch_wire.objects import MAX_OBJECTS, MAX_PICKLES_BYTES

from .visit import visit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from skytorch_server.checkpoints.manifest import Manifest

    from .executor import Executor, NamedObject


class Checkpoints:
    """Reads and writes in one folder, which the session is given when it begins. Methods raise CheckpointError."""

    def __init__(self, folder: Path | None, executor: Executor) -> None:
        self._folder = folder
        self._executor = executor

    async def write(self, name: str, session: str, names: Sequence[str], limit: int) -> Manifest:
        """Writes the objects of some names, or all, as a checkpoint of `limit` bytes at most.

        Nothing else of the session is executed meanwhile, so that it is one moment's. `session` is what it is called.
        """
        from skytorch_server.checkpoints import tensors

        folder = self._open()
        manifest: list[Manifest] = []

        def write(there: list[NamedObject]) -> list[NamedObject]:
            known = {thing[0]: thing for thing in there}
            for wanted in names:
                if wanted not in known:
                    raise CheckpointError(f"the session has no object {wanted!r}", "NOT_FOUND")
            chosen = [known[wanted] for wanted in dict.fromkeys(names)] if names else there
            if not chosen:
                raise CheckpointError("the session holds no named objects: save some first", "FAILED_PRECONDITION")
            manifest.append(tensors.write(folder, name, session, chosen, limit))
            return []

        await visit(self._executor, write)
        return manifest[0]

    async def restore(self, name: str, names: Sequence[str]) -> list[str]:
        """Gives the session the objects of a checkpoint, all or those of some names; the names."""
        from skytorch_server.checkpoints import tensors

        folder = self._open()
        found = await asyncio.to_thread(lambda: tensors.read(folder, folder.read(name), names))

        def keep(there: list[NamedObject]) -> list[NamedObject]:
            after = {thing[0]: len(thing[1]) for thing in [*there, *found]}
            if len(after) > MAX_OBJECTS or sum(after.values()) > MAX_PICKLES_BYTES:
                raise CheckpointError(
                    "the session would hold too many named objects: forget some", "RESOURCE_EXHAUSTED"
                )
            return found

        await visit(self._executor, keep)
        return [thing[0] for thing in found]

    def _open(self) -> CheckpointFolder:
        if self._folder is None:
            raise CheckpointError("this server keeps no checkpoints: it needs --checkpoint-dir", "UNIMPLEMENTED")
        return CheckpointFolder(self._folder)
