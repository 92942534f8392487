"""Runs the functions that a client sends, on the session's own tensors.

The executor waits meanwhile, as for an op. A function runs on the process's first thread, where a signal ends whatever
it waits for: sleep, a read, another process.
"""

from __future__ import annotations

import json
import linecache
import queue
import signal
import threading
import traceback
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from skytorch_wire.payload import joined, split
from skytorch_wire.pickling import address, dumps, loads

from .output import redirected
from .slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Functions"]

_INTERRUPT = signal.SIGUSR1


@dataclass
class _Call:
    sequence: int
    device: torch.device
    storages: Mapping[int, torch.Tensor]
    parts: Sequence[bytes]
    write: Callable[[int, bytes], None]
    done: threading.Event = field(default_factory=threading.Event)
    reply: bytes = b""
    slots: list[torch.Tensor] = field(default_factory=list)
    failure: str = ""


class Functions:
    """The hook of :meth:`.Executor.serve_functions`, and the thread that does the work."""

    def __init__(self, audit: Callable[[int], None]) -> None:
        """`audit` is told of each call, by the number of its record, before it runs."""
        self._audit = audit
        self._calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._running = 0
        self._cancelled = (1, 0)
        self._interruptible = False

    def __call__(
        self,
        sequence: int,
        device: str,
        storages: Mapping[int, torch.Tensor],
        parts: Sequence[bytes],
        write: Callable[[int, bytes], None],
    ) -> tuple[bytes, list[torch.Tensor]]:
        """Runs one call on the other thread: what the client is told, and the slots of its parcel.

        `storages` are given as their bytes. Raises RuntimeError when not even a failure could be told.
        """
        call = _Call(sequence, torch.device(device), storages, parts, write)
        self._audit(sequence)
        self._calls.put(call)
        call.done.wait()
        if call.failure:
            raise RuntimeError(call.failure)
        return call.reply, call.slots

    def interrupt(self, first: int, last: int) -> None:
        """Raises KeyboardInterrupt in the function of a record in [first, last], now or when it is its turn."""
        self._cancelled = (first, last)
        if first <= self._running <= last:
            signal.pthread_kill(threading.main_thread().ident or 0, _INTERRUPT)

    def serve(self) -> None:
        """Runs what is called. For the process's first thread; doesn't return."""
        signal.signal(_INTERRUPT, self._interrupted)
        while True:
            call = self._calls.get()
            try:
                self._run(call)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the executor waits
                call.failure = f"the function's result could not be told: {type(error).__name__}: {error}"
            call.done.set()
            # The next one may be long in coming, and the call's tensors may be all that there is.
            del call

    def _interrupted(self, _number: int, _frame: object) -> None:
        if self._interruptible:
            raise KeyboardInterrupt

    def _run(self, call: _Call) -> None:
        with redirected(call.write):
            try:
                with self._interruptible_as(call.sequence):
                    call.reply, call.slots = _run(call)
            except BaseException as error:  # noqa: BLE001 - it is the client's to see
                call.reply, call.slots = _failed(call, error)

    @contextmanager
    def _interruptible_as(self, sequence: int) -> Iterator[None]:
        self._running = sequence
        try:
            self._interruptible = True
            first, last = self._cancelled
            if first <= sequence <= last:
                raise KeyboardInterrupt
            yield
        finally:
            self._interruptible = False
            self._running = 0


def _run(call: _Call) -> tuple[bytes, list[torch.Tensor]]:
    sources, *pickle = split(call.parts)
    _know_sources(json.loads(b"".join(sources)))
    with _on(call.device):
        function, args, kwargs = loads(pickle, lambda name: _find(call, name))
        del pickle
        value = function(*args, **kwargs)
    return _reply(call, value, {})


def _find(call: _Call, name: Any) -> object:
    kind, *rest = name
    return call.storages[rest[0]].untyped_storage() if kind == "storage" else torch.device(*rest)


def _reply(call: _Call, value: object, head: dict[str, Any]) -> tuple[bytes, list[torch.Tensor]]:
    known = {address(given.untyped_storage()): number for number, given in call.storages.items()}
    slots = Slots(call.device.type, known)
    pickle = dumps(value, slots.name)
    head = {"slots": slots.table(), **head}
    return joined([memoryview(json.dumps(head).encode()), *pickle]), slots.tensors()


def _failed(call: _Call, error: BaseException) -> tuple[bytes, list[torch.Tensor]]:
    """The exception itself, if it can be pickled, and what it says in any case."""
    told = {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(type(error), error, _own(error.__traceback__))),
    }
    try:
        return _reply(call, error, {"error": told})
    except Exception:  # noqa: BLE001 - pickling calls what the exception's class says
        return _reply(call, None, {"error": told})


def _own(trace: Any) -> Any:
    """The part of a traceback that is the function's."""
    at = trace
    while at is not None and at.tb_frame.f_code.co_filename == __file__:
        at = at.tb_next
    return at or trace


def _know_sources(sources: dict[str, str]) -> None:
    """Tracebacks show, and torch.jit reads, the lines of cells and of files that aren't here."""
    for name, text in sources.items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


@contextmanager
def _on(device: torch.device) -> Iterator[None]:
    """The session's device is what tensors are made on, where the function doesn't say another."""
    with ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))
            stack.enter_context(device)
        yield
