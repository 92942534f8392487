"""Which cell runs in a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

__all__ = ["Running"]


class Running:
    """Follows a shell's cells until unregistered."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.cell: object | None = self
        """Another object for each cell that runs, None between cells. Made in one that runs, as far as can be told."""
        self._events = shell.events
        self._events.register("pre_run_cell", self._begin)
        self._events.register("post_run_cell", self._end)

    def _begin(self, info: ExecutionInfo) -> None:
        self.cell = info

    def _end(self, _result: ExecutionResult) -> None:
        self.cell = None

    def unregister(self) -> None:
        """Follow no longer."""
        self._events.unregister("pre_run_cell", self._begin)
        self._events.unregister("post_run_cell", self._end)
