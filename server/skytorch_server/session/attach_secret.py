"""The secret that a session's stream is attached with, replaced when another kernel takes the session over."""

from __future__ import annotations

import hmac
from collections import deque

# A kernel that was cut off and comes back after so many others is a stranger.
_REMEMBERED = 8


class AttachSecret:
    """One secret is right at a time; those before it are known, so that their owners can be told what happened."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._former: deque[bytes] = deque(maxlen=_REMEMBERED)

    def matches(self, given: bytes) -> bool:
        """Whether it is the one."""
        return hmac.compare_digest(given, self._secret)

    def was(self, given: bytes) -> bool:
        """Whether it has been, before another took its place."""
        return any(hmac.compare_digest(given, former) for former in self._former)

    def replace(self, given: bytes, new: bytes) -> bool:
        """Lets `new` take its place, if `given` is the one."""
        if not self.matches(given):
            return False
        self._former.append(self._secret)
        self._secret = new
        return True
