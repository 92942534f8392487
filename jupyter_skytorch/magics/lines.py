"""Marks the line of the cell that is being executed, for errors that are known only later, and for what lines cost.

A store into an object of the device's core is put before each statement: 20 ns, against a frame walk per op. A loop's
line is marked once more where its body ends, since its head is what comes next.
Statements inside functions and classes get none: the functions outlive the cell and are pickled, traced and compiled,
where a hidden name would be in the way. Their ops count as those of the line that called them.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MARK", "mark_lines"]

MARK = "__sky_mark__"
"""The name, in the cell's namespace, of the memory whose first element is the line."""

_OPAQUE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS = ("body", "orelse", "finalbody")


def mark_lines(module: ast.Module) -> ast.Module:
    """Put a mark before each statement of a module."""
    module.body = list(_marked(module.body))
    # Declared global, the name is looked up where Python remembers the place of what it has found.
    start = sum(map(_is_future, module.body))
    module.body.insert(start, ast.Global([MARK], lineno=1, col_offset=0, end_lineno=1, end_col_offset=0))
    return module


def _marked(statements: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    for statement in statements:
        if not isinstance(statement, _OPAQUE):
            _descend(statement)
        if not _is_future(statement):
            yield _mark(statement)
        yield statement


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _descend(node: ast.AST) -> None:
    for block in _BLOCKS:
        statements = getattr(node, block, None)
        if isinstance(statements, list):
            marked = list(_marked(statements))
            if block == "body" and isinstance(node, ast.For | ast.AsyncFor | ast.While):
                marked.append(_mark(node))
            setattr(node, block, marked)
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        _descend(part)


def _mark(statement: ast.stmt) -> ast.stmt:
    store = ast.Assign(
        targets=[ast.Subscript(ast.Name(MARK, ast.Load()), ast.Constant(0), ast.Store())],
        value=ast.Constant(statement.lineno),
    )
    for node in ast.walk(store):
        if isinstance(node, ast.stmt | ast.expr):
            # On the statement's line, without width, so that no traceback points at it.
            node.lineno = node.end_lineno = statement.lineno
            node.col_offset = node.end_col_offset = statement.col_offset
    return store
