"""Looking at a server's place from below gRPC: whether there is a host, and whether anything listens."""

from __future__ import annotations

import asyncio
import socket
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .channel import Address

__all__ = ["Found", "probe"]


class Found(Enum):
    """What is at an address."""

    LISTENER = "something listens"
    NO_HOST = "no such host"
    NOTHING = "nothing listens"
    FORBIDDEN = "this user may not connect"
    SILENCE = "no answer"


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
