"""Looking at a server's place from below gRPC: whether there is a host, and what listens there."""

from __future__ import annotations

import asyncio
import socket
import ssl
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .channel import Address
    from .encryption import Encryption

__all__ = ["Found", "probe", "probe_tls", "speaks_tls"]

# What an HTTP/2 client says first. A server that wants a client's certificate says so when it hears something.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
# How OpenSSL calls an answer that is none of TLS.
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"}


class Found(Enum):
    """What is at an address."""

    LISTENER = "something listens"
    NO_HOST = "no such host"
    NOTHING = "nothing listens"
    FORBIDDEN = "this user may not connect"
    SILENCE = "no answer"
    PLAIN = "it has no TLS"
    TLS = "it has TLS"


async def probe(address: Address, seconds: float) -> Found:
    """Open a plain connection and close it again, within a number of seconds."""
    try:
        async with asyncio.timeout(seconds):
            if address.scheme == "unix":
                _, writer = await asyncio.open_unix_connection(address.path)
            else:
                _, writer = await asyncio.open_connection(address.host, address.port)
    except socket.gaierror:
        return Found.NO_HOST
    except PermissionError:
        return Found.FORBIDDEN
    except (ConnectionError, FileNotFoundError):
        return Found.NOTHING
    except OSError:  # TimeoutError, and a network or host that cannot be reached
        return Found.SILENCE
    writer.close()
    return Found.LISTENER


async def probe_tls(address: Address, encryption: Encryption, seconds: float) -> Found | ssl.SSLError:
    """Agree on TLS with what listens at an address, within a number of seconds; or why that can't be.

    Raises CredentialError where the files of `encryption` can't be used.
    """
    context = encryption.context()
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=context, server_hostname=encryption.certified or address.host
            )
            try:
                writer.write(_PREFACE)
                await reader.read(1)
            finally:
                writer.transport.abort()
    except ssl.SSLError as error:
        return Found.PLAIN if error.reason in _NO_TLS else error
    except OSError:
        # One that has no TLS hangs up, or waits for what it would understand.
        return Found.LISTENER
    return Found.TLS


async def speaks_tls(address: Address, seconds: float) -> bool:
    """Whether what listens at an address has TLS; whose certificate it is doesn't matter, nothing is told it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    except OSError:
        return False
    writer.transport.abort()
    return True
