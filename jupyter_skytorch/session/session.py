"""A session as its client has it: the device's sink, the stream that drains it, and what became of them."""

from __future__ import annotations

import itertools
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import grpc
import torch

from jupyter_skytorch import device
from skytorch_wire import service_pb2, sessions_pb2, sessions_pb2_grpc
from skytorch_wire.features import COPIES, FUNCTIONS, PYTHON_VERSION

from . import copies
from .function_call import FunctionCall
from .lines import LineCounters, merged
from .link import Link
from .objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from .control import Control
    from .way import Way

__all__ = ["Counters", "Session"]

_CANCEL_SECONDS = 2.0


@dataclass(frozen=True)
class Counters:
    """What a session has done since it began. Times in seconds, sizes in bytes."""

    ops: int
    bytes_up: int
    bytes_down: int
    sync_points: int
    wait_seconds: float
    remote_seconds: float


class Session:
    """One session; made by :meth:`open`, ended by :meth:`close`, or by the server, or by losing it."""

    def __init__(
        self,
        created: sessions_pb2.CreateSessionResponse,
        control: Control,
        front: grpc.aio.Channel,
        metadata: Sequence[tuple[str, str]],
    ) -> None:
        """Use :meth:`open`."""
        self.id: str = created.session.session_id
        self.name: str = created.session.name
        self.boot_id: str = created.boot_id
        self.torch_version: str = created.capabilities.torch_version
        self.devices: list[sessions_pb2.Device] = list(created.devices)
        self.state: Literal["live", "lost", "closed"] = "live"
        self.reason = ""
        self.reconnect_timeout = 0.0
        self._server: service_pb2.Capabilities = created.capabilities
        self._calling = threading.Lock()
        self._control = control
        self._front = front
        self._metadata = tuple(metadata)
        self._sink = device.new_sink(self.name)
        if most := created.capabilities.max_pending_records:
            self._sink.limit_ahead(most)
        self.destination = b""
        """Where other servers bring tensors of this session, as a serialized CopyDestination."""
        self.copies = COPIES in created.capabilities.features
        """Whether its server has any with others."""
        self.tickets = itertools.count(1)
        self.waiting: Callable[[str], AbstractContextManager[object]] = lambda _text: nullcontext()
        self._opened: dict[tuple[str, int], torch.device] = {}
        self._lock = threading.Lock()
        self._link: Link | None = None
        self.objects = Objects(self.name, self._sink, self.open_device, self.opened)

    @classmethod
    def open(
        cls,
        *,
        ways: Sequence[Way],
        created: sessions_pb2.CreateSessionResponse,
        metadata: Sequence[tuple[str, str]],
        control: Control,
        front: grpc.aio.Channel,
        reconnect_timeout: float,
        waiting: Callable[[str], AbstractContextManager[object]],
        begin: bool = False,
        destination: service_pb2.CopyDestination | None = None,
    ) -> Session:
        """Opens the stream of a session that was just created and attaches to it.

        `begin`: another kernel had it, and of what it holds only named objects are to stay. `front` is where calls
        about the session go; `destination` is where other servers bring tensors; the rest as for :class:`.Link`. Raises
        ConnectError.
        """
        session = cls(created, control, front, metadata)
        session.reconnect_timeout = reconnect_timeout
        session.destination = destination.SerializeToString() if destination is not None else b""
        session.waiting = waiting
        session._link = Link(
            ways=ways,
            created=created,
            sink=session._sink,
            metadata=metadata,
            reconnect_timeout=reconnect_timeout,
            waiting=waiting,
            lost=session.lose,
            begin=begin,
        )
        if session.state != "live":  # it was lost before it had a link to close
            session._link.close()
        device.follow_settings(session._sink, fresh=not begin)
        return session

    @property
    def way(self) -> Way | None:
        """By which the stream goes to the session's process."""
        return self._link.way if self._link is not None else None

    def device(self, type: str = "cpu", index: int = 0) -> torch.device:  # noqa: A002  (torch's word)
        """The sky device that stands for a device of the server; it becomes the current one.

        Raises SkyError when the server has no such device.
        """
        opened = self.open_device(type, index)
        device.core.choose_device(opened.index)
        return opened

    def open_device(self, type: str, index: int) -> torch.device:  # noqa: A002  (torch's word)
        """As :meth:`device`, but what is the current device stays so."""
        key = (type, index)
        with self._lock:
            if key not in self._opened:
                if not any(found.type == type and found.index == index for found in self.devices):
                    have = ", ".join(f"{found.type}:{found.index}" for found in self.devices)
                    msg = f"{self.name} has no device {type}:{index}; it has {have}"
                    raise device.SkyError(msg)
                opened = torch.device("sky", self._sink.open_device(type, index))
                # Seeded as any device that is used after torch.manual_seed.
                device.core.seed(opened.index, torch.initial_seed() % 2**64)
                self._opened[key] = opened
                copies.know(opened, self)
            return self._opened[key]

    def opened(self) -> dict[tuple[str, int], torch.device]:
        """The sky devices of this session, by what they stand for."""
        with self._lock:
            return dict(self._opened)

    def synchronize(self) -> None:
        """Waits until everything issued is executed, and raises the oldest remote error that was not raised yet."""
        for opened in self._opened.values():
            device.core.synchronize(opened.index)

    def drain(self, timeout: float) -> bool:
        """Waits at most `timeout` seconds for all that was issued; whether it is executed. Raises no remote error."""
        return self._sink.drain(timeout)

    def cancel(self) -> bool:
        """Has the server skip what is issued and not executed, and interrupt a function that runs.

        Answers with whether the server could be told. A single op that runs is not ended by it.
        """
        now = self._sink.counters()
        if self.state != "live" or now["executed"] == now["issued"]:
            return True
        request = sessions_pb2.CancelRequest(
            session_id=self.id, from_sequence=now["executed"] + 1, through_sequence=now["issued"]
        )
        stub = sessions_pb2_grpc.SessionsStub(self._front)

        async def call() -> None:
            await stub.Cancel(request, metadata=self._metadata)

        try:
            self._control.run(call(), _CANCEL_SECONDS)
        except (grpc.aio.AioRpcError, TimeoutError):
            return False
        return True

    def counters(self) -> Counters:
        """What the session has done so far."""
        now = self._sink.counters()
        return Counters(
            ops=now["ops"],
            bytes_up=now["bytes_up"],
            bytes_down=now["bytes_down"],
            sync_points=now["sync_points"],
            wait_seconds=now["wait_nanoseconds"] / 1e9,
            remote_seconds=now["remote_nanoseconds"] / 1e9,
        )

    def take_lines(self) -> dict[tuple[int, int], LineCounters]:
        """By cell and line: what each has cost since the last call. Line 0 is what stands on none."""
        return merged(*self._sink.take_lines())

    def append(self, record: bytes, *, urgent: bool = False) -> None:
        """Adds one record; dropped when the session is over. Never waits. `urgent`: it is sent at once."""
        self._sink.append(record, urgent)

    def ask(self, record: bytes) -> bytes:
        """Adds one record and waits for its reply. Raises SkyError when the session is over."""
        return self._sink.ask(record)

    def call(
        self, target: torch.device, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> FunctionCall:
        """Has the server run a function, whose own device there is `target`.

        Raises SkyError when it runs none, or runs another Python; else see :class:`FunctionCall`.
        """
        if FUNCTIONS not in self._server.features:
            raise device.SkyError(f"{self.name} runs no functions: its server was started with --no-functions")
        if self._server.python_version != PYTHON_VERSION:
            raise device.SkyError(
                f"functions travel between equal versions of Python: here is {PYTHON_VERSION}, "
                f"on {self.name} {self._server.python_version}"
            )
        return FunctionCall(
            self, target, function, args, kwargs, turn=self._calling, chunk_bytes=self._server.chunk_bytes
        )

    def raise_pending(self) -> None:
        """Raises the oldest remote error that was not raised yet, if there is one."""
        self._sink.raise_pending()

    def close(self) -> None:
        """Ends the session on this side, at once: its tensors raise SessionClosed from now on."""
        self._end("closed", f"the session on {self.name} was closed")

    def lose(self, reason: str) -> None:
        """Says that the session is gone: whoever waits for it, and its tensors, raise SessionLost with the reason."""
        self._end("lost", reason)

    def _end(self, kind: Literal["lost", "closed"], reason: str) -> None:
        with self._lock:
            if self.state != "live":
                return
            self.state = kind
            self.reason = reason
        said = reason if kind == "closed" else f"lost {self.name}: {reason}; %sky connect begins a new session"
        self._sink.stop(kind, said)
        if self._link is not None:
            self._link.close()
