"""What a session's process is told when it starts, and what it answers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

from skytorch_server.limits import capabilities

if TYPE_CHECKING:
    from pathlib import Path

    from skytorch_server.copy_targets import CopyTargets
    from skytorch_wire import service_pb2

SOCKET_NAME = "s"
LOCAL_SOCKET_NAME = "l"
INTAKE_SOCKET_NAME = "c"
NONCE_NAME = "nonce"
LAST_OP_NAME = "last-op"
#: Of the front, in the folder above the sessions'.
FRONT_SOCKET_NAME = "front"


@dataclass(frozen=True)
class SessionSpec:
    """One session, as its process needs to know it."""

    session_id: str
    attach_secret: bytes = field(repr=False)
    tunnel: str = field(repr=False)
    """What the server's port is asked for to get here; nobody is told but the session's creator."""
    intake: str = field(repr=False)
    """What it is asked for by servers that bring tensors; the creator tells them."""
    boot_id: str
    folder: Path
    """Ours alone (0700); holds the socket and the nonce, and goes when the session ends."""
    chunk_bytes: int
    memory_bytes: int
    """What its tensors may take on each device; 0: no limit."""
    pending_records: int
    pending_bytes: int
    max_message_bytes: int
    log_level: int
    log_format: str
    audit_log: Path | None
    copy_targets: CopyTargets
    functions: bool = True
    """Whether functions that the client sends are run."""
    checkpoints: Path | None = None
    """The folder of those of the session's principal, where the server keeps any."""

    @property
    def socket(self) -> Path:
        return self.folder / SOCKET_NAME

    @property
    def local_socket(self) -> Path:
        """Takes the messages of StreamOperations without gRPC."""
        return self.folder / LOCAL_SOCKET_NAME

    @property
    def intake_socket(self) -> Path:
        """Takes tensors from other servers."""
        return self.folder / INTAKE_SOCKET_NAME

    @property
    def last_op(self) -> Path:
        """Where the process writes what it ran when it crashed."""
        return self.folder / LAST_OP_NAME

    def capabilities(self) -> service_pb2.Capabilities:
        """What the session's clients are told."""
        return capabilities(
            self.chunk_bytes,
            self.max_message_bytes,
            self.pending_records,
            self.pending_bytes,
            functions=self.functions,
        )

    @property
    def nonce(self) -> Path:
        return self.folder / NONCE_NAME


@dataclass(frozen=True)
class FoundDevice:
    """A device that sessions can use. `memory_bytes` is all that it has."""

    type: str
    index: int
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Started:
    """The one message that a new process sends to the front: plain JSON, because the front unpickles nothing."""

    error: str = ""
    devices: tuple[FoundDevice, ...] = ()

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        content = json.loads(data)
        return cls(content["error"], tuple(FoundDevice(**device) for device in content["devices"]))
