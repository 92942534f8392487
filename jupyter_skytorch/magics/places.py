"""Where in the notebook something happened: cells by their files, and their lines as they are written."""

from __future__ import annotations

import ast
import linecache
from typing import TYPE_CHECKING

from jupyter_skytorch.compute.profile import SourceLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from .source import CellSource

__all__ = ["Places", "facts"]

_PRINTS = frozenset({"print", "display", "format", "repr", "str", "info", "debug", "set_description", "set_postfix"})


class Places:
    """The lines of a cell that runs, and of the other cells whose functions it calls."""

    def __init__(self, shell: InteractiveShell, own: CellSource) -> None:
        self._shell = shell
        self._own = own
        self._files: dict[int, str] = {}
        self._others: dict[int, dict[int, SourceLine]] = {}

    def cell_of(self, file: str) -> int:
        """The number of the cell that Python knows by this file name; 0 for none."""
        # As IPython finds the cells of a traceback.
        number: int = getattr(self._shell.compile, "_filename_map", {}).get(file, 0)
        if number:
            self._files[number] = file
        return number

    def source(self, cell: int, line: int) -> SourceLine:
        """What stands on a line of a cell."""
        if not line:
            return SourceLine()
        if cell == self._own.number:
            found = self._own.facts.get(line)
            return found or SourceLine(self._own.line(line))
        if cell not in self._others:
            self._others[cell] = self._read(self._files.get(cell, ""))
        return self._others[cell].get(line, SourceLine())

    def _read(self, file: str) -> dict[int, SourceLine]:
        lines = [text.rstrip("\n") for text in linecache.getlines(file)]
        found = {number: SourceLine(text.strip()) for number, text in enumerate(lines, 1)}
        # The lines of cell magics are no Python.
        code = "\n".join("" if text.startswith("%%") else text for text in lines)
        try:
            return found | facts(ast.parse(code), lines)
        except SyntaxError:
            return found


def facts(module: ast.Module, lines: list[str]) -> dict[int, SourceLine]:
    """The first line of each statement, with what can be told of it; `lines` are the text."""
    return {
        statement.lineno: SourceLine(
            text=lines[statement.lineno - 1].strip() if statement.lineno <= len(lines) else "",
            in_loop=in_loop,
            prints=_prints(statement),
            decides=isinstance(statement, ast.If | ast.While),
        )
        for statement, in_loop in _statements(module, in_loop=False)
    }


def _statements(node: ast.AST, *, in_loop: bool) -> Iterator[tuple[ast.stmt, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            # The head of a `while` is evaluated again and again, as what is in it.
            yield child, in_loop or isinstance(child, ast.While)
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            called = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            loops = isinstance(child, ast.For | ast.AsyncFor | ast.While)
            yield from _statements(child, in_loop=not called and (in_loop or loops))


def _prints(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.For | ast.While | ast.If | ast.With | ast.Try | ast.FunctionDef | ast.ClassDef):
        return False
    for node in ast.walk(statement):
        if isinstance(node, ast.JoinedStr):
            return True
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in _PRINTS:
                return True
    return False
