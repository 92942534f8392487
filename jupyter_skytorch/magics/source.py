"""The code of a ``%%sky`` cell: where it stands in the notebook, and how it compiles."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING, cast

from IPython.core.displayhook import DisplayHook
from IPython.core.error import UsageError

from .lines import mark_lines
from .places import facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

    from IPython.core.interactiveshell import InteractiveShell

    from jupyter_skytorch.compute.profile import SourceLine

__all__ = ["CellSource"]


class CellSource:
    """A cell's body with the notebook's line numbers: the line of the magic counts."""

    def __init__(self, shell: InteractiveShell, body: str) -> None:
        self._shell = shell
        self._body = body
        self._raw, self._header = self._whole_cell()
        self._lines = self._raw.splitlines()
        self.facts: dict[int, SourceLine] = {}
        """Of each statement's first line, once it is compiled."""

    @property
    def number(self) -> int:
        """The number of the cell, as in In[3]."""
        result = self._shell.displayhook.exec_result
        return self._shell.execution_count if result is None else result.execution_count

    def line(self, number: int) -> str:
        """Return a line of the cell by its number, from 1."""
        return self._lines[number - 1].strip() if 0 < number <= len(self._lines) else ""

    def _whole_cell(self) -> tuple[str, list[str]]:
        """Return the text of the cell that holds the body, and its lines before the body."""
        manager = self._shell.history_manager
        history = manager.input_hist_raw if manager else []
        raw, body = (history[-1] if history else "").rstrip("\n"), self._body.rstrip("\n")
        if not raw.endswith(body) or raw == body:
            # Not from a cell of the history: run silently, or by run_cell_magic().
            return f"%%sky\n{body}", ["%%sky"]
        return raw, raw[: len(raw) - len(body)].splitlines()

    def compile(self) -> Iterator[CodeType]:
        """Compile as IPython compiles a cell: the last expression displays its value.

        Raises SyntaxError, and UsageError for a top-level await.
        """
        __tracebackhide__ = True
        shell = self._shell
        blank = len(self._body) - len(self._body.lstrip("\n"))
        text = shell.transform_cell(self._body.lstrip("\n"))
        header = [*self._header, *[""] * blank]
        # Tracebacks and the debugger find the source by this name, which is made from the whole cell.
        shown = "\n".join([*header, text])
        name = shell.compile.cache(shown, self.number, raw_code=self._raw)
        module = cast("ast.Module", shell.compile.ast_parse("\n" * len(header) + text, filename=name))
        self.facts = facts(module, self._lines)
        module = mark_lines(shell.transform_ast(module))
        codes = list(self._units(module, name))
        if any(code.co_flags & inspect.CO_COROUTINE for code in codes):
            raise UsageError("%%sky runs no top-level await: await in a cell of its own")
        return iter(codes)

    def _units(self, module: ast.Module, name: str) -> Iterator[CodeType]:
        silent, shown = self._interactive(module.body)
        with self._shell.compile.extra_flags(ast.PyCF_ALLOW_TOP_LEVEL_AWAIT):
            if silent:
                yield self._shell.compile(ast.Module(silent, module.type_ignores), name, "exec")  # type: ignore[arg-type]
            if shown:
                yield self._shell.compile(ast.Interactive(shown), name, "single")  # type: ignore[arg-type]

    def _interactive(self, statements: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
        """Divide the statements into those that show nothing and those whose values are displayed."""
        mode = self._shell.ast_node_interactivity
        if not statements or mode == "none" or DisplayHook.semicolon_at_end_of_expression(self._body):
            return statements, []
        if mode == "all":
            return [], statements
        last = statements[-1]
        if mode == "last_expr_or_assign" and isinstance(last, ast.Assign | ast.AnnAssign | ast.AugAssign):
            target = last.targets[0] if isinstance(last, ast.Assign) else last.target
            if isinstance(target, ast.Name):
                value = ast.copy_location(ast.Expr(ast.Name(target.id, ast.Load())), last)
                return statements, [ast.fix_missing_locations(value)]
        if mode == "last" or isinstance(last, ast.Expr):
            return statements[:-1], [last]
        return statements, []
