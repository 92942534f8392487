"""``%%sky``: a cell that runs with sky as its default device, and ends with what it cost."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

from IPython.core.error import UsageError
from IPython.display import display

from jupyter_skytorch import device
from jupyter_skytorch.compute import computes, current
from jupyter_skytorch.compute.advice import advise
from jupyter_skytorch.compute.profiling import Profiler, line_costs
from jupyter_skytorch.compute.registry import find
from jupyter_skytorch.compute.waiting import waiting
from jupyter_skytorch.device.errors import SkyError
from jupyter_skytorch.display.ledger import Ledger, Outcome
from jupyter_skytorch.display.text import tell
from jupyter_skytorch.session import take_detours

from . import provisioned
from .advice import Asked, noticing_cuda
from .compiling import compiled_modules
from .cuda import as_cuda
from .errors import one_line
from .factories import sky_by_default
from .lines import MARK
from .places import Places
from .registry import find as command
from .source import CellSource

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import CodeType

    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_skytorch.compute import Compute
    from jupyter_skytorch.session.lines import LineCounters

    from .sky import SkyMagics

__all__ = ["run"]

_DRAIN_SECONDS = 2.0
"""How long what was issued may still run after an interrupt before it is cancelled."""


def run(magics: SkyMagics, options: argparse.Namespace, body: str) -> None:
    """Run a cell's body on the Compute that the options name, else on the current one, else on a new one."""
    __tracebackhide__ = True
    with one_line():
        compute = _compute(magics, options.name)
    _Run(magics, compute, body, options).run()


def _compute(magics: SkyMagics, name: str | None) -> Compute:
    compute = current() if name is None else computes().get(name)
    if compute is None:
        compute = _first(magics, name) if name is None or name == "local" else _found(name)
    if compute.state != "connected":
        raise UsageError(_why_not(compute))
    return compute


def _why_not(compute: Compute) -> str:
    if compute.provision is not None and compute.provision.state == "suspended":
        # It would take minutes and a GPU, and what the cell relies on is gone.
        return f"{compute.name} is suspended, and what its tensors held is gone: %sky resume {compute.name} begins anew"
    return f"{compute.name} is {compute.state}: {compute.reason}; %sky connect {compute.name} begins anew"


def _first(magics: SkyMagics, name: str | None) -> Compute:
    if not computes():
        tell(f"nothing is connected yet: connecting to {name or magics.target}")
    connect = command("connect")
    return cast("Compute", connect.run(connect.parser().parse([name] if name else []), magics))


def _found(name: str) -> Compute:
    return provisioned.known(name) or find(name)


class _Run:
    """One run of one cell."""

    def __init__(self, magics: SkyMagics, compute: Compute, body: str, options: argparse.Namespace) -> None:
        self._magics = magics
        self._options = options
        self._asked = Asked()
        self._compute = compute
        self._session = compute.session()
        # A magic that runs has a shell.
        self._shell = cast("InteractiveShell", magics.shell)
        self._source = CellSource(self._shell, body)
        self._places = Places(self._shell, self._source)
        self._profiler = Profiler(self._session, self._places.cell_of) if options.profile else None
        self._outcome: Outcome = "done"

    def run(self) -> None:
        """Execute, wait for the remote end, raise its errors here, and show the ledger."""
        __tracebackhide__ = True
        codes = self._source.compile()
        device.core.set_place(0, self._source.number)
        if self._profiler is not None:
            with one_line():
                self._profiler.begin()
        self._session.take_lines()
        take_detours()
        self._before = self._executed = self._session.counters()
        self._began = time.perf_counter()
        try:
            try:
                self._execute(codes)
            finally:
                # Waiting for the end is no sync point of the cell's own.
                self._executed = self._session.counters()
            self._settle()
        except KeyboardInterrupt:
            self._outcome = "interrupted"
            self._stop()
            raise
        except BaseException as error:
            self._outcome = "failed"
            self._settle_after(error)
            raise
        finally:
            self._show()
            device.core.set_place(0, 0)

    def _execute(self, codes: Iterator[CodeType]) -> None:
        __tracebackhide__ = True
        namespace = self._shell.user_ns
        outer = namespace.get(MARK)
        namespace[MARK] = device.marks if self._profiler is None else device.core.lens_mark()
        try:
            with sky_by_default(self._compute.device()), self._cuda(namespace), self._compiling():
                for code in codes:
                    exec(code, namespace)  # noqa: S102 (a cell is code to execute)
        finally:
            device.core.set_place(0, self._source.number)
            if outer is None:
                namespace.pop(MARK, None)

    @contextmanager
    def _cuda(self, namespace: dict[str, Any]) -> Iterator[None]:
        if self._options.as_cuda:
            with as_cuda(self._compute):
                yield
        else:
            with noticing_cuda(namespace) as self._asked:
                yield

    def _compiling(self) -> AbstractContextManager[None]:
        return compiled_modules() if self._options.compile else nullcontext()

    def _settle(self) -> None:
        """Wait for all that was issued, and raise what went wrong there."""
        __tracebackhide__ = True
        try:
            with waiting(f"waiting for {self._compute.name}"):
                self._session.synchronize()
            self._session.raise_pending()
        except Exception as error:  # noqa: BLE001 (any type: the remote raises torch's own)
            # The message names the op and the line; where this end noticed is nothing to the user.
            raise error.with_traceback(None)  # noqa: B904

    def _settle_after(self, error: BaseException) -> None:
        """The cell's own error is the one to raise; the remote one, which may be its cause, is noted on it."""
        try:
            self._settle()
        except KeyboardInterrupt:
            self._outcome = "interrupted"
            self._stop()
        except Exception as remote:  # noqa: BLE001 (any type: the remote raises torch's own)
            if remote is not error and str(remote) != str(error):
                error.add_note(f"On {self._compute.name}, before that: {type(remote).__name__}: {remote}")

    def _stop(self) -> None:
        """After an interrupt: let what was issued finish, else cancel it; after a second one, abandon the session."""
        try:
            if not self._session.drain(_DRAIN_SECONDS):
                if not self._session.cancel():
                    tell(f"{self._compute.name} can't be reached: what was issued is executed when it can")
                self._session.drain(_DRAIN_SECONDS)
        except KeyboardInterrupt:
            self._outcome = "abandoned"
            self._compute.close()
            tell(
                f"interrupted twice: the session on {self._compute.name} is abandoned and its tensors are gone; "
                f"%sky connect begins anew"
            )

    def _show(self) -> None:
        if self._asked.advice:
            tell(self._asked.advice)
        before, executed, now = self._before, self._executed, self._session.counters()
        wall_seconds = time.perf_counter() - self._began
        remote_seconds = now.remote_seconds - before.remote_seconds
        counters = self._session.take_lines()
        if self._magics.ledger:
            lines = line_costs(counters, self._places.source)
            ledger = Ledger(
                where=self._where,
                wall_seconds=wall_seconds,
                remote_seconds=remote_seconds,
                ops=now.ops - before.ops,
                bytes_up=now.bytes_up - before.bytes_up,
                bytes_down=now.bytes_down - before.bytes_down,
                sync_points=executed.sync_points - before.sync_points,
                wait_seconds=executed.wait_seconds - before.wait_seconds,
                lines=lines,
                advice=advise(lines, wall_seconds),
                outcome=self._outcome,
                detours=tuple(take_detours()),
                expiry=self._compute.expiry,
            )
            display(ledger)
        if self._profiler is not None:
            self._show_profile(self._profiler, wall_seconds, remote_seconds, counters)

    def _show_profile(
        self,
        profiler: Profiler,
        wall_seconds: float,
        remote_seconds: float,
        counters: dict[tuple[int, int], LineCounters],
    ) -> None:
        try:
            with waiting(f"waiting for the profile of {self._compute.name}"):
                profiler.end()
        except SkyError as error:
            tell(f"the server's part of the profile is missing: {error}")
        profile = profiler.profile(
            where=self._where,
            cell=self._source.number,
            wall_seconds=wall_seconds,
            remote_seconds=remote_seconds,
            counters=counters,
            source=self._places.source,
        )
        self._magics.profile = profile
        display(profile)

    @property
    def _where(self) -> str:
        return f"{self._compute.name} {self._compute.default_device}"
