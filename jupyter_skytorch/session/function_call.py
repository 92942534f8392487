"""A function on its way to the session's process, and what comes back of it."""

from __future__ import annotations

import codecs
import json
import linecache
from itertools import groupby
from types import CodeType
from typing import TYPE_CHECKING, Any

import torch
from torch.storage import UntypedStorage

from jupyter_skytorch import device
from skytorch_wire import payload, pickling
from skytorch_wire.format import DTYPE_NUMBERS
from skytorch_wire.records import Writer, contiguous_strides

from .local_code import by_value

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from .session import Session

__all__ = ["FunctionCall", "RemoteError"]

_SOURCE_BYTES = 4 * 1024 * 1024


class RemoteError(device.SkyError):
    """A function raised what isn't known here; the message says its type."""


class _RemoteTraceback(Exception):  # noqa: N818  (as concurrent.futures shows one)
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def __str__(self) -> str:
        return f'\n"""\n{self._text}"""'


class FunctionCall:
    """One call, which begins at once."""

    def __init__(
        self,
        session: Session,
        target: torch.device,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        turn: threading.Lock,
        chunk_bytes: int,
    ) -> None:
        """Sends a function, and the session's tensors among its arguments by name.

        `target` is the sky device that is the function's own there. `turn` is the session's, for one call's parts at a
        time. Raises what pickling raises, and SkyError when the session is over.
        """
        self._session = session
        self._target = target
        self._remote = {opened: key for key, opened in session.opened().items()}
        self._held: dict[int, UntypedStorage] = {}
        self._files: set[str] = set()
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in (1, 2)}
        with by_value():
            pickle = pickling.dumps((function, args, kwargs), self._name)
        sources = memoryview(json.dumps(self._sources()).encode())
        self._request = device.core.Request(target.index)
        with turn:
            size = 0
            for part in payload.parts([sources, *pickle], chunk_bytes):
                self._request.append(Writer().function_part(size, part).take())
                size += part.nbytes
            slot = device.core.device_slot(target.index)
            self._sequence: int = self._request.start(Writer().function(slot, list(self._held), size).take())

    def next(self, seconds: float) -> tuple[int, str] | None:
        """Waits for what the function writes: (1 stdout or 2 stderr, text); None when it has ended.

        Raises TimeoutError when nothing comes within `seconds`.
        """
        written = self._request.next(seconds)
        if written is None:
            return None
        stream, data = written
        return stream, self._decoders[stream].decode(data)

    def result(self) -> Any:
        """What the function has returned; waits for it. Raises what it has raised, or what went wrong before it."""
        head, *pickle = payload.split([self._request.result()])
        told = json.loads(b"".join(head))
        storages = self._adopt(told["slots"])
        error = told.get("error")
        try:
            value = pickling.loads(pickle, lambda name: self._find(name, storages))
        except Exception as unreadable:
            if error is None:
                msg = f"what the function returned can't be read here: {type(unreadable).__name__}: {unreadable}"
                raise device.SkyError(msg) from unreadable
            value = None
        if error is None:
            return value
        if not isinstance(value, BaseException):
            value = RemoteError(f"{error['type']}: {error['message']}")
        value.__cause__ = _RemoteTraceback(error["traceback"])
        raise value

    def close(self) -> None:
        """Lets go of the call. What comes of it later is dropped there."""
        self._request = None

    def _name(self, thing: object) -> object:
        if isinstance(thing, CodeType):
            self._files.add(thing.co_filename)
        elif isinstance(thing, torch.device) and thing.type == "sky":
            return ("device", *self._remote_device(thing))
        elif isinstance(thing, UntypedStorage) and thing.device.type == "sky":
            number = device.core.storage_number(self._target.index, pickling.address(thing))
            self._held[number] = thing
            return ("storage", number)
        return None

    def _remote_device(self, sky: torch.device) -> tuple[str, int]:
        named: int | None = sky.index
        index: int = device.core.get_device() if named is None else named
        try:
            return self._remote[torch.device("sky", index)]
        except KeyError:
            msg = f"sky:{index} is no device of {self._session.name}, where the function is to run"
            raise device.SkyError(msg) from None

    def _find(self, name: Any, storages: Mapping[int, UntypedStorage]) -> object:
        kind, number = name
        return self._held[number] if kind == "known" else storages[number]

    def _adopt(self, rows: Sequence[Any]) -> dict[int, UntypedStorage]:
        """Storages for the slots that the server tells of."""
        storages: dict[int, UntypedStorage] = {}
        for (kind, index), group in groupby(enumerate(rows), lambda row: (row[1][0], row[1][1])):
            slots = [
                (slot, size, DTYPE_NUMBERS[dtype], sizes, contiguous_strides(sizes), 0)
                for slot, (_, _, size, dtype, sizes) in group
            ]
            there = self._session.open_device(kind, index)
            tensors = device.core.adopt(there.index, self._sequence, slots)
            storages.update((slot[0], tensor.untyped_storage()) for slot, tensor in zip(slots, tensors, strict=True))
        return storages

    def _sources(self) -> dict[str, str]:
        """The lines of what travels, for tracebacks there."""
        sources, size = {}, 0
        for file in sorted(self._files):
            text = "".join(linecache.getlines(file))
            size += len(text)
            if text and size <= _SOURCE_BYTES:
                sources[file] = text
        return sources
