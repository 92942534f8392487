"""Marks the line of the cell that is being executed, for errors that are known only later, and for what lines cost.

A store into a list that the device's core reads is put before each statement: some 10 ns, for which Python has an
instruction of its own, against a frame walk per op. The core reads the list without the GIL, so that it holds small
numbers only, which are never freed: a line from 256 on is stored in two parts.

Statements inside functions and classes get none: the functions outlive the cell and are pickled, traced and compiled,
where a hidden name would be in the way. Their ops count as those of the line that called them.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MARK", "mark_lines"]

MARK = "__sky_mark__"
"""The name, in the cell's namespace, of the list whose first element is the line, and whose second its upper byte."""

_OPAQUE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IDLE = (ast.Pass, ast.Break, ast.Global, ast.Nonlocal)
_BLOCKS = ("body", "orelse", "finalbody")
_BYTE = 256
_LAST = _BYTE * _BYTE - 1


def mark_lines(module: ast.Module) -> ast.Module:
    """Put a mark before each statement of a module."""
    long = any(isinstance(node, ast.stmt) and node.lineno >= _BYTE for node in ast.walk(module))
    module.body = list(_marked(module.body, None, long=long))
    # Declared global, the name is looked up where Python remembers the place of what it has found.
    start = sum(map(_is_future, module.body))
    module.body.insert(start, ast.Global([MARK], lineno=1, col_offset=0, end_lineno=1, end_col_offset=0))
    return module


def _marked(statements: Iterable[ast.stmt], loop: ast.stmt | None, *, long: bool) -> Iterator[ast.stmt]:
    """`loop` is the one whose head comes after a `continue`, and is to be marked then."""
    for statement in statements:
        if not isinstance(statement, _OPAQUE):
            _descend(statement, loop, long=long)
        if isinstance(statement, ast.Continue):
            if loop is not None:
                yield from _marks(loop, long=long)
        elif not isinstance(statement, _IDLE) and not _is_future(statement):
            yield from _marks(statement, long=long)
        yield statement


def _descend(node: ast.AST, loop: ast.stmt | None, *, long: bool) -> None:
    head = node if isinstance(node, ast.For | ast.AsyncFor | ast.While) and _issues(node) else None
    is_loop = isinstance(node, ast.For | ast.AsyncFor | ast.While)
    for block in _BLOCKS:
        statements = getattr(node, block, None)
        if not isinstance(statements, list):
            continue
        in_loop = is_loop and block == "body"
        marked = list(_marked(statements, head if in_loop else loop, long=long))
        if in_loop and head is not None:
            marked += _marks(head, long=long)
        setattr(node, block, marked)
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        _descend(part, loop, long=long)


def _issues(loop: ast.For | ast.AsyncFor | ast.While) -> bool:
    """Whether the head of a loop may do more between two rounds than count."""
    if isinstance(loop, ast.While):
        return not isinstance(loop.test, ast.Constant)
    called = loop.iter.func if isinstance(loop.iter, ast.Call) else None
    return not (isinstance(called, ast.Name) and called.id == "range")


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _marks(statement: ast.stmt, *, long: bool) -> Iterator[ast.stmt]:
    line = min(statement.lineno, _LAST)
    if long:
        yield _store(1, line // _BYTE, statement)
    yield _store(0, line % _BYTE, statement)


def _store(index: int, value: int, statement: ast.stmt) -> ast.stmt:
    store = ast.Assign(
        targets=[ast.Subscript(ast.Name(MARK, ast.Load()), ast.Constant(index), ast.Store())],
        value=ast.Constant(value),
    )
    for node in ast.walk(store):
        if isinstance(node, ast.stmt | ast.expr):
            # On the statement's line, without width, so that no traceback points at it.
            node.lineno = node.end_lineno = statement.lineno
            node.col_offset = node.end_col_offset = statement.col_offset
    return store
