"""The operator in a process of its own, as it runs in a cluster."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 60.0


class OperatorProcess:
    """``python -m skytorch_operator`` with what it logs; may be stopped and started again."""

    def __init__(self, log: Path, **environment: str) -> None:
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        self._read = len(self.log)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "skytorch_operator"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """The first match in what it logged since it was started."""
        assert self._process is not None
        deadline = time.monotonic() + SECONDS
        while True:
            ended = self._process.poll() is not None
            if match := re.search(pattern, self.log[self._read :]):
                return match
            assert not ended, f"the operator ended without {pattern!r}:\n{self.log}"
            assert time.monotonic() < deadline, f"no {pattern!r} in the log:\n{self.log}"
            time.sleep(0.02)

    def stop(self) -> int:
        """Asks it to end, as Kubernetes does, and returns its exit status."""
        return self._end(signal.SIGTERM)

    def revive(self) -> None:
        """Starts it again if it ended by itself, as Kubernetes does."""
        if self._process is not None and self._process.poll() is not None:
            self.start()
            self.wait_for_log(" leads")

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
            raise
        finally:
            self._process = None
