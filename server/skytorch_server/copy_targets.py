"""Which other servers this one may send tensors to."""

from __future__ import annotations

import argparse
import ipaddress
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .loopback import is_loopback

_PATTERN = re.compile(r"(\[[0-9a-f:*?]+\]|[a-z0-9._*?-]+)(?::([0-9]{1,5}))?")
_ADDRESS = re.compile(r"(?=.*[0-9:])[0-9.*?]+|.*:.*")


@dataclass(frozen=True)
class CopyTargets:
    """Patterns of hosts, with or without a port, of servers that sessions may connect to.

    Those of the same user on this machine are reached by their Unix sockets, and need none.
    """

    patterns: tuple[str, ...] = ()
    insecure: bool = False
    """Whether tensors may travel readable to other machines."""

    def complaint(self, host: str, port: int, *, encrypted: bool) -> str:
        """Why a server may not be connected to; empty if it may."""
        if not any(_matches(pattern, host.lower(), port) for pattern in self.patterns):
            return f"the server may not connect to {host}:{port} (--copy-to)"
        if not (encrypted or self.insecure or is_loopback(host)):
            return f"tensors would travel readable to {host}:{port}"
        return ""


def _matches(pattern: str, host: str, port: int) -> bool:
    parts = _PATTERN.fullmatch(pattern)
    if parts is None or (parts[2] and int(parts[2]) != port):
        return False
    name = parts[1].strip("[]")
    # A name that begins like an address is none: 10.0.0.elsewhere.org is not meant by 10.0.0.*
    return fnmatchcase(host, name) and (not _ADDRESS.fullmatch(name) or _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def copy_patterns(text: str) -> tuple[str, ...]:
    """Those of a comma separated text."""
    patterns = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise argparse.ArgumentTypeError(f"{pattern!r} is no HOST or HOST:PORT")
    return patterns
