"""A session's link to its server: a stream, and after that has broken, another one.

The sink keeps what it has sent until it is executed, the server keeps its replies until they are acknowledged, and each
tells the other how far it got: so a new stream goes on where the last one broke off, and nothing is executed twice.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

import torch

from jupyter_skytorch.device import ConnectError
from skytorch_wire import PROTOCOL_VERSION, __version__, service_pb2
from skytorch_wire.features import PYTHON_VERSION

from .local_stream import LocalStream
from .stream import NoWayError, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_skytorch.device import Sink
    from skytorch_wire import sessions_pb2

    from .stream import End
    from .way import Way

__all__ = ["Link"]

#: Seconds between attempts to connect again: each up to twice as long as the one before, and up to the second of these.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


class Link:
    """Attached when it is made. `lost` is called at most once, on another thread, with the reason."""

    def __init__(
        self,
        *,
        ways: Sequence[Way],
        created: sessions_pb2.CreateSessionResponse,
        sink: Sink,
        metadata: Sequence[tuple[str, str]],
        reconnect_timeout: float,
        waiting: Callable[[str], AbstractContextManager[object]],
        lost: Callable[[str], None],
        begin: bool = False,
    ) -> None:
        """`ways` lead to the session's process and are tried in turn; `waiting` tells the user what is waited for.

        `reconnect_timeout` in seconds bounds how long a broken connection is tried again. `begin`: the session's
        log begins anew. Raises ConnectError.
        """
        self._ways = ways
        self._begin = begin
        self._created = created
        self._sink = sink
        self._metadata = tuple(metadata)
        self._reconnect_timeout = reconnect_timeout
        self._waiting = waiting
        self._lost = lost
        self._epoch = 0
        self._closed = threading.Event()
        self._stream: LocalStream | Stream = self._open()
        self._begin = False
        self._stream.start()

    def _open(self) -> LocalStream | Stream:
        """A stream by the first way that leads to the session. Raises ConnectError."""
        *others, last = self._ways
        for way in others:
            with suppress(NoWayError):
                return self._attach(way)
        return self._attach(last)

    def _attach(self, way: Way) -> LocalStream | Stream:
        self._epoch += 1
        attach = service_pb2.Attach(
            session_id=self._created.session.session_id,
            attach_secret=self._created.attach_secret,
            epoch=self._epoch,
            boot_id=self._created.boot_id,
            begin=self._begin,
            replies_received=self._sink.replies_received(),
            capabilities=service_pb2.Capabilities(
                protocol_version=PROTOCOL_VERSION,
                package_version=__version__,
                torch_version=torch.__version__,
                python_version=PYTHON_VERSION,
                # On one machine a byte costs less than its compression.
                compressions=[service_pb2.COMPRESSION_ZSTD] if way.far else [],
            ),
        )
        if not way.plain:
            return Stream(way, attach, self._sink, metadata=self._metadata, ended=self._ended)
        stream = LocalStream(way, attach, self._sink, ended=self._ended)
        if way.local:
            self._sink.may_share()
        return stream

    @property
    def way(self) -> Way:
        """The one that the stream goes."""
        return self._stream.way

    def close(self) -> None:
        """Ends the stream, and tries no other; the sink is to be stopped before."""
        self._closed.set()
        self._stream.close()

    def _ended(self, end: End) -> None:
        if not end.broken:
            self._lost(f"the server ended the session's stream: {end.words}")
        elif not self._closed.is_set():
            threading.Thread(target=self._reconnect, name="skytorch-reconnect", daemon=True).start()

    def _reconnect(self) -> None:
        """Until there is a stream again, the time is up, or whoever watches the server has found that it is gone."""
        deadline = time.monotonic() + self._reconnect_timeout
        pause = _FIRST_PAUSE
        name = self._created.session.name
        with self._waiting(f"the connection to {name} broke: reconnecting"):
            while not self._closed.is_set():
                self._stream.close()
                try:
                    self._stream = self._open()
                except NoWayError as error:
                    if time.monotonic() > deadline:
                        return self._lost(f"it could not be reached for {self._reconnect_timeout:g} s: {error}")
                except ConnectError as error:
                    return self._lost(str(error))
                else:
                    self._stream.start()
                    break
                # Of many clients that were cut off together, not all come back at once.
                self._closed.wait(random.uniform(pause / 2, pause))  # noqa: S311  (not a secret)
                pause = min(2 * pause, _LONGEST_PAUSE)
        if self._closed.is_set():
            self._stream.close()
        return None
