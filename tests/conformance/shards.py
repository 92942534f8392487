"""Runs pairs in several worker processes, so that one that crashes or hangs costs its pair alone."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .operators import Pair

ROOT = Path(__file__).parents[2]
PAIR_SECONDS = 300.0


@dataclass(frozen=True)
class Outcome:
    """What came of a pair."""

    samples: int
    reason: str

    @property
    def holds(self) -> bool:
        return not self.reason


class _Worker:
    def __init__(self, samples: int | None, log: Path) -> None:
        command = [sys.executable, "-m", "tests.conformance.worker"]
        if samples is not None:
            command += ["--samples", str(samples)]
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def check(self, pair: Pair) -> Outcome | None:
        """The outcome; nothing when the process is no more."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Timer(PAIR_SECONDS, self._process.kill)
        late.start()
        try:
            self._process.stdin.write(json.dumps(vars(pair)) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            return None
        finally:
            late.cancel()
        return Outcome(**json.loads(answer)) if answer else None

    def end(self) -> int:
        """Ends the process and says how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=30)
        self._process.stdout.close()
        return self._process.returncode


def run(
    pairs: Iterable[Pair],
    *,
    workers: int,
    samples: int | None,
    log: Path,
    on_outcome: Callable[[Pair, Outcome], None],
) -> None:
    """Checks all pairs; `on_outcome` is called for each, from one thread at a time."""
    waiting: queue.SimpleQueue[Pair] = queue.SimpleQueue()
    for pair in pairs:
        waiting.put(pair)
    lock = threading.Lock()

    def work() -> None:
        worker: _Worker | None = None
        try:
            while True:
                try:
                    pair = waiting.get_nowait()
                except queue.Empty:
                    return
                worker = worker or _Worker(samples, log)
                outcome = worker.check(pair)
                if outcome is None:
                    outcome = Outcome(0, f"crash: the process ended with {worker.end()}")
                    worker = None
                elif outcome.reason.startswith("crash:"):
                    worker.end()
                    worker = None
                with lock:
                    on_outcome(pair, outcome)
        finally:
            if worker:
                worker.end()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
