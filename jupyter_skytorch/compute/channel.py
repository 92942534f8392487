"""Addresses of servers, and the gRPC channels to them. Imports no torch."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from .credentials import Credential, CredentialError, Metadata, bearer
from .encryption import Encryption
from .suggestion import did_you_mean

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["Address", "AddressError", "Credential", "CredentialError", "open_channel"]

DEFAULT_PORT = 50051
MAX_PORT = 65535
# What sockaddr_un holds, on the tighter of the platforms, with its final zero.
MAX_SOCKET_PATH = 103
# Control messages are small; this leaves room for the metrics of a machine with many processes.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

_MEANT = {"http": "grpc", "https": "grpcs", "tcp": "grpc", "tls": "grpcs"}

_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


class AddressError(ValueError):
    """A text that is no server address. The message is one line and says what would be one."""


@dataclass(frozen=True)
class Address:
    """Where a server listens: a host and a port, or a Unix socket on this machine."""

    scheme: Literal["grpc", "grpcs", "unix"]
    """"grpcs" is gRPC within TLS."""
    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read "grpc://host:port", "grpcs://host:port" or "unix:/path".

        Raises AddressError, one line that says which part is wrong.
        """
        text = text.strip()
        if "@" in text and not text.startswith("unix:"):
            # The text is left out: what stands before the @ may be a secret.
            raise AddressError("an address holds no user and no token; give the token with token_file")
        scheme, colon, rest = text.partition(":")
        if not colon or (rest.isdigit() and not text.startswith(("grpc:", "grpcs:", "unix:"))):
            hint = f"; did you mean 'grpc://{text.removeprefix('grpc').lstrip('/')}'?" if colon else ""
            raise AddressError(f"{text!r} is not an address (grpc://host:port, grpcs://host:port or unix:/path){hint}")
        if scheme == "unix":
            return cls._unix(text, rest)
        if scheme in {"grpc", "grpcs"}:
            return cls._grpc(cast("Literal['grpc', 'grpcs']", scheme), text, rest)
        meant = _MEANT.get(scheme)
        hint = f"; did you mean '{meant}:{rest}'?" if meant else did_you_mean(scheme, ["grpc", "grpcs", "unix"])
        raise AddressError(f"{text!r} has the scheme {scheme!r}, and only grpc://, grpcs:// and unix: are known{hint}")

    @classmethod
    def _unix(cls, text: str, rest: str) -> Address:
        path = "/" + rest.lstrip("/") if rest.startswith("/") else ""
        if not path.strip("/") or "\0" in path:
            raise AddressError(f"{text!r} needs an absolute path, as in unix:/run/skytorch.sock")
        if len(path.encode()) > MAX_SOCKET_PATH:
            raise AddressError(f"the path of a Unix socket has at most {MAX_SOCKET_PATH} bytes, this has {len(path)}")
        return cls("unix", path=path)

    @classmethod
    def _grpc(cls, scheme: Literal["grpc", "grpcs"], text: str, rest: str) -> Address:
        if not rest.startswith("//"):
            raise AddressError(f"{text!r} is not an address; did you mean '{scheme}://{rest.lstrip('/')}'?")
        place = rest[2:].removesuffix("/")
        if "/" in place or "?" in place:
            raise AddressError(f"{text!r} has something after the port; an address is {scheme}://host:port")
        host, port = cls._split(text, place)
        if not _is_host(host):
            raise AddressError(f"{text!r} has no valid host name: {host!r}")
        return cls(scheme, host=host, port=port)

    @staticmethod
    def _split(text: str, place: str) -> tuple[str, int]:
        if place.startswith("["):
            host, _, port = place[1:].partition("]")
            port = port.removeprefix(":")
        else:
            host, _, port = place.rpartition(":")
            if ":" in host:
                raise AddressError(f"{text!r}: an IPv6 address stands in brackets, as in grpc://[::1]:{DEFAULT_PORT}")
        if not host and port and not port.isdigit():
            host, port = port, ""
        if not port:
            raise AddressError(f"{text!r} has no port; did you mean 'grpc://{place.rstrip(':')}:{DEFAULT_PORT}'?")
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT):
            raise AddressError(f"{text!r} has the port {port!r}, and a port is a number from 1 to {MAX_PORT}")
        return host, int(port)

    @property
    def target(self) -> str:
        """The name that gRPC gives this place."""
        return f"unix:{self.path}" if self.scheme == "unix" else self._place

    @property
    def _place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        if self.scheme == "unix" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.target if self.scheme == "unix" else f"{self.scheme}://{self._place}"


def open_channel(
    address: Address,
    credential: Credential,
    *,
    encryption: Encryption = Encryption(),  # noqa: B008 - frozen
    insecure: bool = False,
    token: str | None = None,
) -> tuple[grpc.aio.Channel, Metadata]:
    """Open a channel to a server. Call it on the loop that will use the channel.

    `token` stands in for a credential that cannot be read here (kind "kernel-only"). Returns the channel and the
    metadata that every call on it carries. Raises AddressError for a plain connection off this machine without
    `insecure`, CredentialError for a token or a certificate that cannot be read.
    """
    check_secure(address, encryption, insecure=insecure)
    import grpc.aio

    metadata = bearer(token if token is not None else credential.token())
    options = _options(address, encryption)
    if address.scheme == "grpcs":
        return grpc.aio.secure_channel(address.target, encryption.channel_credentials(), options=options), metadata
    return grpc.aio.insecure_channel(address.target, options=options), metadata


def check_secure(address: Address, encryption: Encryption, *, insecure: bool) -> None:
    """Refuse a connection that would carry tensors and tokens over a network in the clear. Raises AddressError."""
    if encryption and address.scheme != "grpcs":
        meant = f"; did you mean 'grpcs:{str(address).partition(':')[2]}'?" if address.scheme == "grpc" else ""
        raise AddressError(f"{address} is not encrypted, so it takes neither an authority nor a certificate{meant}")
    if address.scheme == "grpc" and not address.loopback and not insecure:
        raise AddressError(
            f"{address} is another machine and the connection is not encrypted; use grpcs:// if the server has TLS, or "
            "say insecure=True (%sky connect --insecure) if you trust the network"
        )


def _options(address: Address, encryption: Encryption) -> list[tuple[str, int | str]]:
    options: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        # A connection of our own: a shared one would hand on the waiting time of an earlier, failed attempt.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    if encryption.certified is not None:
        options.append(("grpc.ssl_target_name_override", encryption.certified))
    if address.loopback:
        # A proxy from the environment cannot reach this machine's own ports.
        options.append(("grpc.enable_http_proxy", 0))
    else:
        # On one machine a dead peer closes the connection; over a network only silence tells.
        options += [
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
    return options


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST.fullmatch(host) is not None and len(host) <= 253  # noqa: PLR2004 (RFC 1035)
    return True
