"""The ways to a session's process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ssl

    import grpc

__all__ = ["Encrypts", "Way"]

#: What a grpc.Channel takes.
Options = list[tuple[str, int | str]]

_ALWAYS: Options = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
]
# Over a network only silence tells that a peer is gone.
_FAR: Options = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
]
# A proxy from the environment cannot reach this machine's own ports.
_NEAR: Options = [("grpc.enable_http_proxy", 0)]


class Encrypts(Protocol):
    """What a way's TLS is made of. Both methods raise ValueError where its files can't be used."""

    @property
    def certified(self) -> str | None:
        """The name that the server's certificate is for, where the way has another one."""

    def context(self) -> ssl.SSLContext:
        """For sockets."""

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For channels."""


@dataclass(frozen=True)
class Way:
    """Where a stream connects to. `far`: to another machine, as far as can be told."""

    target: str
    """A gRPC target; or else the path of a local socket, or the name of a tunnel to one."""
    door: tuple[str, int] | None = None
    """The host and port that are asked for the tunnel."""
    local: bool = False
    """Whether `target` is a path."""
    far: bool = False
    here: bool = False
    """Whether the target is on this machine, whatever is behind it."""
    encryption: Encrypts | None = None
    """None: what goes there is not encrypted."""

    @property
    def plain(self) -> bool:
        """Whether the stream is one of plain messages, without gRPC."""
        return self.local or self.door is not None

    @property
    def options(self) -> Options:
        """Those of the stream's channel, where it has one."""
        options = _ALWAYS + (_FAR if self.far else []) + (_NEAR if self.here or not self.far else [])
        if self.encryption is not None and self.encryption.certified is not None:
            options = [*options, ("grpc.ssl_target_name_override", self.encryption.certified)]
        return options
