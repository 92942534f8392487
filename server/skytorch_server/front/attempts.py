"""How often a wrong token may be tried."""

from __future__ import annotations

import time
from collections import OrderedDict

# Tokens are long and random; this keeps a guesser from taking the server's time, and fills no log.
_OF_ADDRESS = (60.0, 1.0)
_OF_ALL = (600.0, 10.0)
_ADDRESSES = 4096
_KNOWN = 16384


class _Bucket:
    """Holds so many attempts, and gets a few back each second."""

    def __init__(self, size: float, per_second: float) -> None:
        self._size = size
        self._per_second = per_second
        self._left = size
        self._counted = time.monotonic()

    def seconds_until(self, wanted: float = 1.0) -> float:
        """How long until so many can be taken; 0: now."""
        now = time.monotonic()
        self._left = min(self._left + (now - self._counted) * self._per_second, self._size)
        self._counted = now
        return max(wanted - self._left, 0.0) / self._per_second

    def take(self) -> None:
        self.seconds_until()
        self._left = max(self._left - 1.0, 0.0)


class Attempts:
    """Counts wrong tokens by the address that they came from, and all together.

    An address, or all of them, with too many has to wait; whoever has come in by the same token from the same address
    before does not, so that a guesser on the network locks nobody out who works.
    """

    def __init__(self) -> None:
        self._all = _Bucket(*_OF_ALL)
        self._addresses: OrderedDict[str, _Bucket] = OrderedDict()
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def wait(self, address: str, token: bytes) -> float:
        """Seconds until the address may try a token (any digest of it); 0: now."""
        if (address, token) in self._known:
            self._known.move_to_end((address, token))
            return 0.0
        bucket = self._addresses.get(address)
        return max(self._all.seconds_until(), bucket.seconds_until() if bucket else 0.0)

    def failed(self, address: str) -> None:
        """A wrong token came from there."""
        self._all.take()
        bucket = self._addresses.get(address)
        if bucket is None:
            bucket = self._addresses[address] = _Bucket(*_OF_ADDRESS)
            if len(self._addresses) > _ADDRESSES:
                self._addresses.popitem(last=False)
        self._addresses.move_to_end(address)
        bucket.take()

    def succeeded(self, address: str, token: bytes) -> None:
        """A right one did."""
        self._known[address, token] = None
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
