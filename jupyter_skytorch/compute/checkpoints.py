"""Checkpoints of a session's named objects: on the disk of its server, where they outlive the server too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc

from jupyter_skytorch.device.errors import SkyError
from skytorch_wire import sessions_pb2

from .waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from jupyter_skytorch.session import Session
    from jupyter_skytorch.session.control import Control
    from skytorch_wire import sessions_pb2_grpc

    from .credentials import Metadata

__all__ = ["Checkpoints"]

_WRITE_SECONDS = 600.0
_LIST_SECONDS = 5.0
# What gRPC calls a connection that ended in the middle of a call; and how long it takes at most until a session whose
# server is gone knows it: its own process may answer a little longer.
_BROKEN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN}
_VERDICT_SECONDS = 6.0
_ASK_SECONDS = 0.2


class Checkpoints:
    """Those of a session's principal. Methods raise SkyError, one line; SessionLost where the server is gone."""

    def __init__(
        self, name: str, session: Session, stub: sessions_pb2_grpc.SessionsStub, metadata: Metadata, control: Control
    ) -> None:
        """`name` is the Compute's."""
        self._name = name
        self._session = session
        self._stub = stub
        self._metadata = metadata
        self._control = control

    def write(self, name: str, objects: Sequence[str]) -> sessions_pb2.Checkpoint:
        """Writes named objects, or all that there are, as the checkpoint of a name."""
        request = sessions_pb2.WriteCheckpointRequest(session_id=self._session.id, name=name, objects=objects)
        with waiting(f"writing the checkpoint {name}"):
            # It is written by a call of its own, and has to have in it what was issued before.
            self._session.synchronize()
            written: sessions_pb2.Checkpoint = self._call(self._stub.WriteCheckpoint, request, _WRITE_SECONDS)
        return written

    def restore(self, name: str, objects: Sequence[str]) -> list[str]:
        """Reads named objects, or all, of a checkpoint into the session; their names."""
        request = sessions_pb2.RestoreRequest(session_id=self._session.id, name=name, objects=objects)
        with waiting(f"restoring the checkpoint {name}"):
            self._session.synchronize()
            return list(self._call(self._stub.Restore, request, _WRITE_SECONDS).objects)

    def list(self) -> list[sessions_pb2.Checkpoint]:
        """All that there are, oldest first."""
        request = sessions_pb2.ListCheckpointsRequest()
        return list(self._call(self._stub.ListCheckpoints, request, _LIST_SECONDS).checkpoints)

    def delete(self, name: str) -> None:
        """Deletes one."""
        request = sessions_pb2.DeleteCheckpointRequest(name=name)
        self._call(self._stub.DeleteCheckpoint, request, _LIST_SECONDS)

    def _call(self, method: Any, request: Message, seconds: float) -> Any:
        async def ask() -> Any:
            return await method(request, metadata=self._metadata, timeout=seconds)

        try:
            return self._control.run(ask(), seconds + 1.0)
        except grpc.aio.AioRpcError as error:
            if error.code() in _BROKEN:
                self._tell_if_lost()
            words = " ".join((error.details() or error.code().name).split())
            raise SkyError(f"{self._name}: {words}") from None
        except TimeoutError:
            raise SkyError(f"{self._name} did not answer within {seconds:g} s") from None

    def _tell_if_lost(self) -> None:
        """Raise SessionLost if the server is gone."""
        deadline = time.monotonic() + _VERDICT_SECONDS
        while time.monotonic() < deadline:
            self._session.objects.list()
            time.sleep(_ASK_SECONDS)
