"""The session's C++ executor (sources in ``csrc``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from skytorch_wire import native

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from .copies import Copies

    FunctionHook = Callable[
        [int, str, Mapping[int, torch.Tensor], Sequence[bytes], Callable[[int, bytes], None]],
        tuple[bytes, list[torch.Tensor]],
    ]

    import torch

    #: Its name, its pickle, and its storages, each as the tensor that it was allocated as, if it has values.
    NamedObject = tuple[str, bytes, list[torch.Tensor | None]]

#: What an item of :meth:`Executor.collect` is.
MESSAGE, DONE, MALFORMED = 0, 1, 2


class Executor(Protocol):
    """Executes the records of one session, in order, on a thread of its own, without the GIL."""

    def submit(self, message: bytes, route: int) -> None:
        """Queue a serialized StreamRequest (route 0) or the records of a unary call (a route above 0)."""

    def attach(self, socket: int, inflate: Callable[[bytes], bytes]) -> None:
        """Take the stream's messages from a Unix socket, and send its replies there.

        One submission: DONE (or MALFORMED) comes when the socket has ended and what came by it is executed. It stays
        open until :meth:`detach`. `inflate` makes requests of compressed ones, and raises what is then malformed.
        """

    def resume(self, replies_received: int, by_socket: bool) -> int:
        """The stream has a new connection: send again what its client, which has the replies up to this one, lacks.

        Those go to the outbox, unless the connection is a socket that :meth:`attach` is called with next. Answers with
        the sequence number of the first record of the last frame that arrived whole; 0 if none did.
        """

    def detach(self) -> bool:
        """The stream has no connection any more: replies are kept for the next one, within bounds.

        Whether all that went to a socket are whole messages.
        """

    def serve_functions(self, hook: FunctionHook, max_bytes: int) -> None:
        """Have `hook` run functions from now on, whose calls have `max_bytes` at most, 0: any number.

        It is called on the executor's thread, with the record's sequence number, the device, the storages that the call
        names (as their bytes), the call in parts, and what takes the function's output (1 stdout, 2 stderr).
        It answers with the reply, and with what the parcel holds.
        """

    def serve_copies(self, hook: Copies) -> None:
        """Have `hook`'s methods send tensors to other servers and take in theirs, from now on. Called on the thread."""

    def begin(self) -> None:
        """Begin the log anew, with record 1: of what the session holds, only named objects stay.

        One submission for route 0: DONE comes when what was submitted before is executed, and this done.
        """

    def collect(self) -> list[tuple[int, int, bytes]]:
        """What is to be sent: (route, kind, payload).

        MESSAGE: a serialized StreamResponse for route 0, else reply records. DONE: one submission is executed.
        MALFORMED: it could not be; the payload says why (UTF-8).
        """

    def fileno(self) -> int:
        """A descriptor that is readable when there is something to collect."""

    def limit(self, memory_bytes: int, pending_records: int, pending_bytes: int) -> None:
        """Bound what tensors take on each device (0: not), and what the stream may have submitted and not executed."""

    def full(self) -> bool:
        """Whether the stream has as much submitted as it may, beside the message that is being executed."""

    def note_crashes(self, path: str) -> None:
        """Write the name of the op that runs to a file when a signal ends the process."""

    def pending_bytes(self) -> int:
        """Bytes submitted and not executed."""

    def outbox_bytes(self) -> int:
        """Bytes executed and not collected; bulk replies wait while it is over 16 MiB."""

    def cancel(self, first: int, last: int) -> None:
        """Skip the stream's ops in this range of sequence numbers, from now on."""

    def visit(self, visitor: Callable[[list[NamedObject]], list[NamedObject]]) -> None:
        """Call `visitor` with the named objects on the executor's thread, when what was submitted is executed.

        What it returns gets a name too. It raises nothing, and tells itself whoever waits for it.
        """

    def named(self) -> int:
        """How many objects the session holds under a name."""

    def stats(self) -> Mapping[str, int]:
        """Counters since the start, named as the fields of SessionStats."""

    def close(self) -> None:
        """End the thread after the record that it is at."""


def create(chunk_bytes: int) -> Executor:
    """A new executor, whose bulk replies carry `chunk_bytes` bytes each. Compiles the executor if need be."""
    module = native.load("skytorch_server.session")
    executor: Executor = module.Executor(chunk_bytes)
    return executor
