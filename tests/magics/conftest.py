"""A real kernel, driven as a notebook drives it."""

from __future__ import annotations

import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import start_new_kernel
from jupyter_core.utils import ensure_event_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_client.blocking.client import BlockingKernelClient
    from jupyter_client.manager import KernelManager

TIMEOUT = 120.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Result:
    """What a cell gave."""

    status: str = ""
    number: int = 0
    printed: str = ""
    asked: str = ""
    result: dict[str, Any] | None = None
    displays: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    traceback: str = ""
    error: str = ""

    @property
    def value(self) -> str:
        """The text of Out[n]."""
        assert self.result is not None, self
        return str(self.result["text/plain"])

    @property
    def ledger(self) -> str:
        """The ledger line."""
        return str(self.displays[-1]["text/plain"])

    def take(self, kind: str, content: dict[str, Any], shown: Callable[[str], None] | None) -> None:
        """A message that the cell sent, other than what it prints."""
        if shown is not None and kind in {"display_data", "update_display_data"}:
            shown(content["data"]["text/plain"])
        if kind == "execute_result":
            self.result = content["data"]
        elif kind == "display_data":
            self.displays.append(content["data"])
        elif kind == "update_display_data":
            self.updates.append(content["data"])
        elif kind == "error":
            self.traceback = _COLOURS.sub("", "\n".join(content["traceback"]))


class Kernel:
    """A kernel with the extension loaded."""

    def __init__(self) -> None:
        # jupyter_client keeps an event loop for each thread and context that calls it: here there is one, and it is
        # closed at the end.
        self._thread = ThreadPoolExecutor(1)
        self._manager: KernelManager
        self._client: BlockingKernelClient
        self._manager, self._client = self._thread.submit(start_new_kernel, kernel_name="python3").result(TIMEOUT)

    def end(self) -> None:
        """End the kernel."""

        def end() -> None:
            self._client.stop_channels()
            self._manager.shutdown_kernel()
            ensure_event_loop().close()

        self._thread.submit(end).result(TIMEOUT)
        self._thread.shutdown()

    def run(
        self,
        code: str,
        *,
        during: Callable[[str], None] | None = None,
        shown: Callable[[str], None] | None = None,
        answer: str | None = None,
    ) -> Result:
        """Run a cell to its end.

        `during` is called with each text that it prints, `shown` with each that it displays or updates; `answer` is
        given when it asks.
        """
        return self._thread.submit(self._run, code, during, shown, answer).result()

    def _run(
        self,
        code: str,
        during: Callable[[str], None] | None,
        shown: Callable[[str], None] | None,
        answer: str | None,
    ) -> Result:
        request = self._client.execute(code, allow_stdin=answer is not None)
        result = Result()
        if answer is not None:
            result.asked = self._client.get_stdin_msg(timeout=TIMEOUT)["content"]["prompt"]
            self._client.input(answer)
        while True:
            message = self._client.get_iopub_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                result.printed += content["text"]
                if during is not None:
                    during(content["text"])
            elif kind == "status" and content["execution_state"] == "idle":
                break
            else:
                result.take(kind, content, shown)
        reply = self._reply(request)
        result.status, result.number = reply["status"], reply.get("execution_count") or 0
        result.error = f"{reply['ename']}: {reply['evalue']}" if reply["status"] == "error" else ""
        return result

    def _reply(self, request: str) -> dict[str, Any]:
        while True:
            message = self._client.get_shell_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") == request:
                return dict(message["content"])

    def ok(self, code: str) -> Result:
        """Run a cell that must succeed."""
        result = self.run(code)
        assert result.status == "ok", result.traceback or result.printed
        return result

    def usage_error(self, code: str) -> str:
        """Run a cell that must end in a one-line usage error, and return the line."""
        result = self.run(code)
        assert result.error.startswith("UsageError"), result
        assert result.traceback == ""
        (line,) = result.printed.strip().splitlines()
        return str(line)

    def complete(self, text: str) -> list[str]:
        """Ask for completions at the end of a text."""
        asked = self._thread.submit(self._client.complete, text, reply=True, timeout=TIMEOUT)
        return list(asked.result()["content"]["matches"])

    def interrupt(self) -> None:
        """Interrupt what runs, as the stop button does."""
        os.kill(self._manager.provisioner.pid, signal.SIGINT)

    def interrupt_when_printed(self, word: str, *, after: float = 0.0) -> Callable[[str], None]:
        """For run(during=...): interrupt the cell, some seconds after it has printed a word."""
        return lambda text: threading.Timer(after, self.interrupt).start() if word in text else None


@pytest.fixture(scope="module")
def fresh_kernel() -> Iterator[Kernel]:
    """A kernel of the module's own, with the extension and nothing connected at first."""
    kernel = Kernel()
    try:
        kernel.ok("import torch\n%load_ext jupyter_skytorch")
        yield kernel
    finally:
        kernel.end()


@pytest.fixture
def kernel(fresh_kernel: Kernel) -> Kernel:
    """The module's kernel, with nothing connected."""
    fresh_kernel.ok("import jupyter_skytorch\nfor compute in jupyter_skytorch.computes().values(): compute.close()")
    return fresh_kernel


@pytest.fixture
def connected(fresh_kernel: Kernel) -> Kernel:
    """The module's kernel, connected to the embedded server and to nothing else."""
    fresh_kernel.ok(
        "import jupyter_skytorch\n"
        "for compute in jupyter_skytorch.computes().values():\n"
        "    if compute.name != 'local' or compute.state != 'connected': compute.close()\n"
        "compute = %sky connect\n"
    )
    return fresh_kernel
